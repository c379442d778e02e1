// SPDX-License-Identifier: Apache-2.0
// Command lines: long options with one letter for some of them, values, operands, --help.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cxxopts {
class Options;
}

namespace base {

// One option as its program names it.
struct OptionText {
  const char* name;      // the long one, without dashes
  char letter;           // or 0
  const char* argument;  // what stands for its value in --help; nullptr: it needs none
  const char* help;
  const char* group;      // its heading, "" for none; nullptr: it is not shown
  bool optional = false;  // it may have a value, which then stands behind "="
};

// What a command line said. Names are the long ones, without dashes.
class ParsedOptions {
 public:
  bool has(const std::string& name) const { return values_.contains(name); }
  // The last value given.
  std::optional<std::string> value(const std::string& name) const;
  std::string value_or(const std::string& name, std::string fallback) const;
  // All values of a repeatable option, in order.
  std::vector<std::string> values(const std::string& name) const;
  // A whole number from `low` to `high`; `fallback` when not given. Throws UsageError.
  int64_t number(const std::string& name, int64_t low, int64_t high, int64_t fallback) const;
  // Seconds with a fraction ("0.5"), as milliseconds; `fallback_ms` when not given.
  int64_t seconds_as_ms(const std::string& name, int64_t fallback_ms) const;
  // One of `allowed`, the first when not given. Throws UsageError listing them.
  std::string choice(const std::string& name,
                     std::initializer_list<std::string_view> allowed) const;
  const std::vector<std::string>& operands() const { return operands_; }
  // Options and operands in the order in which they stood, for where it matters. An operand has no
  // name.
  struct Word {
    std::string name;
    std::string value;
  };
  const std::vector<Word>& words() const { return words_; }
  // Throws UsageError unless there are `low` to `high` operands; `what` names them ("SRC and DST").
  void require_operands(size_t low, size_t high, std::string_view what) const;

 private:
  friend class Options;
  // Takes the next option, or operand (nullptr). Throws UsageError for a value of a flag.
  void add(const OptionText* option, const std::string& value);

  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> operands_;
  std::vector<Word> words_;
};

// A program's, or a subcommand's, options and the text of its --help (80 columns). Names and texts
// are literals, which outlive it. cxxopts parses the command line and lays out the help.
class Options {
 public:
  // `command` is "snapshot-meta set"; `synopsis` the rest of the usage line; `summary` one
  // sentence.
  Options(std::string command, std::string synopsis, std::string summary);

  // Options added from here on stand under this heading in --help.
  Options& group(const char* title);
  // Options added from here on are taken, and not in --help.
  Options& unlisted();
  // `names` is "name" or "n,name".
  Options& flag(const char* names, const char* help);
  // With a value shown as `argument` in --help. May be repeated.
  Options& value(const char* names, const char* argument, const char* help);
  // A flag that may have a value, which then stands behind "=".
  Options& optional_value(const char* names, const char* help);
  // Lines that follow the options in --help: examples, exit statuses, the man page's name.
  Options& footer(const char* text);

  // Adds -h --help, -V --version, --json, -q --quiet and -v --verbose to every program, and sets
  // message_style() from them. Nothing when --help or --version was given and has been printed.
  // Throws UsageError. Options and operands stand in any order, and "--" ends the options. A value
  // is the next word, whatever it looks like, or attached: "--out=FILE", "-oFILE". Letters of flags
  // may share a word. Long names must be written out.
  std::optional<ParsedOptions> parse(int argc, char** argv);

 private:
  Options& add(const char* names, const char* argument, const char* help);
  void add_common();
  const OptionText* find(std::string_view name) const;  // by long name or letter; or nullptr
  cxxopts::Options parser() const;
  std::vector<std::string> detach_values(int argc, char** argv) const;
  ParsedOptions read(int argc, char** argv) const;
  std::string help() const;

  std::string command_;
  std::string synopsis_;
  std::string summary_;
  std::string_view footer_;
  const char* group_ = "";
  std::vector<OptionText> options_;
};

// The words after the first "--" of argv: the command of a wrapper. `argc` is cut there; nothing
// when there is no "--".
std::optional<std::vector<std::string>> split_command(int& argc, char** argv);

}  // namespace base
