// SPDX-License-Identifier: Apache-2.0
// Command lines: long options, some with a letter; values, operands, --help.
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

// One option of a program.
struct OptionText {
  const char* name;      // the long name, without dashes
  char letter;           // 0 if it has none
  const char* argument;  // what --help calls its value; nullptr for a flag
  const char* help;
  const char* group;      // its heading; "" for none, nullptr to hide the option
  bool optional = false;  // a value is optional, and follows "="
};

// The result of parsing a command line. Names are the long ones, without dashes.
class ParsedOptions {
 public:
  bool has(const std::string& name) const { return values_.contains(name); }
  // The last value given.
  std::optional<std::string> value(const std::string& name) const;
  std::string value_or(const std::string& name, std::string fallback) const;
  // All values of a repeatable option, in order.
  std::vector<std::string> values(const std::string& name) const;
  // A whole number from `low` to `high`; `fallback` if the option is absent. Throws UsageError.
  int64_t number(const std::string& name, int64_t low, int64_t high, int64_t fallback) const;
  // Seconds with a fraction ("0.5"), as milliseconds; `fallback_ms` if the option is absent.
  int64_t seconds_as_ms(const std::string& name, int64_t fallback_ms) const;
  // One of `allowed`; the first if the option is absent. Throws UsageError, which lists them.
  std::string choice(const std::string& name,
                     std::initializer_list<std::string_view> allowed) const;
  const std::vector<std::string>& operands() const { return operands_; }
  // Options and operands in the order of the command line. An operand has no name.
  struct Word {
    std::string name;
    std::string value;
  };
  const std::vector<Word>& in_order() const { return words_; }
  // Throws UsageError unless there are `low` to `high` operands. `what` names them ("SRC and
  // DST").
  void require_operands(size_t low, size_t high, std::string_view what) const;

 private:
  friend class Options;
  // Adds the next option, or operand (nullptr). Throws UsageError for a value of a flag.
  void add(const OptionText* option, const std::string& value);

  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> operands_;
  std::vector<Word> words_;
};

// The options of a program or subcommand, and its --help (80 columns). All names and strings are
// literals, which outlive this object. cxxopts parses the command line and formats the help.
class Options {
 public:
  // `command` is "snapshot-meta set", `synopsis` the rest of the usage line, `summary` one
  // sentence.
  Options(std::string command, std::string synopsis, std::string summary);

  // Options added after this call appear under this heading in --help.
  Options& group(const char* title);
  // Options added after this call are accepted, but not listed in --help.
  Options& unlisted();
  // `names` is "name" or "n,name".
  Options& flag(const char* names, const char* help);
  // With a value shown as `argument` in --help. May be repeated.
  Options& value(const char* names, const char* argument, const char* help);
  // A flag with an optional value, which follows "=".
  Options& optional_value(const char* names, const char* help);
  // Lines after the options in --help: examples, exit statuses, the name of the man page.
  Options& footer(const char* text);

  // Adds -h --help, -V --version, --json, -q --quiet and -v --verbose to every program, and sets
  // message_style() from them. Returns nothing if it has printed --help or --version. Throws
  // UsageError. Options and operands may be in any order; "--" ends the options. A value is the
  // next word, even if it looks like an option, or is attached: "--out=FILE", "-oFILE". Letters
  // of flags may share a word. Long names cannot be abbreviated.
  std::optional<ParsedOptions> parse(int argc, char** argv);

 private:
  Options& add(const char* names, const char* argument, const char* help);
  void add_common();
  const OptionText* find(std::string_view name) const;  // nullptr if unknown
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

// Returns the words after the first "--" of argv, the command of a wrapper, and cuts `argc` there.
// Returns nothing if argv has no "--".
std::optional<std::vector<std::string>> split_command(int& argc, char** argv);

}  // namespace base
