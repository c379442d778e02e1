// SPDX-License-Identifier: Apache-2.0
// Parses command lines with cxxopts, and prints --help.
#include "base/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#define CXXOPTS_NO_REGEX  // <regex> would double the size of a program
#include <cxxopts.hpp>

#include "base/error.h"
#include "base/message.h"
#include "base/number.h"
#include "base/output.h"
#include "base/version.h"

namespace base {
namespace {

constexpr const char* kNotShown = nullptr;
constexpr size_t kHelpWidth = 80;
constexpr const char* kOperand = "?";  // cxxopts does not accept this name on a command line

// The value that cxxopts reports for a flag. No command-line word contains a NUL, so it differs
// from every value after "=".
constexpr std::string_view kNoValue("\0", 1);

// A value exactly as on the command line. cxxopts finds parse_value() by argument-dependent lookup;
// its own function for strings in a vector would split operands at commas. The value is read from
// ParseResult::arguments().
struct Raw {};
void parse_value(const std::string& /*text*/, Raw& /*value*/) {}

}  // namespace
}  // namespace base

// All operands belong to the one option that stands for them.
template <>
struct cxxopts::values::type_is_container<base::Raw> {
  static constexpr bool value = true;
};

namespace base {
namespace {

class Value : public cxxopts::values::standard_value<Raw> {
 public:
  explicit Value(const OptionText& option) : needs_value_(option.argument != nullptr) {
    m_implicit = !needs_value_;
    m_implicit_value = kNoValue;
  }
  std::shared_ptr<cxxopts::Value> clone() const override { return std::make_shared<Value>(*this); }
  bool is_boolean() const override { return !needs_value_; }  // for the help: shown without a value

 private:
  bool needs_value_;
};

// Returns the option that an exception of cxxopts names, as on the command line. Its message has it
// in quotes.
std::string subject_of(const std::exception& error) {
  const std::string text = error.what();
  const size_t begin = text.find(cxxopts::LQUOTE) + cxxopts::LQUOTE.size();
  const std::string subject = text.substr(begin, text.rfind(cxxopts::RQUOTE) - begin);
  const bool has_dash = subject.starts_with('-');
  return base::quoted((has_dash ? "" : subject.size() == 1 ? "-" : "--") + subject);
}

}  // namespace

std::optional<std::string> ParsedOptions::value(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? std::nullopt
                                                         : std::optional(found->second.back());
}

std::string ParsedOptions::value_or(const std::string& name, std::string fallback) const {
  return value(name).value_or(std::move(fallback));
}

std::vector<std::string> ParsedOptions::values(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

int64_t ParsedOptions::number(const std::string& name, int64_t low, int64_t high,
                              int64_t fallback) const {
  const std::optional<std::string> text = value(name);
  if (!text) {
    return fallback;
  }
  const std::optional<int64_t> number = parse_number<int64_t>(*text);
  if (!number || *number < low || *number > high) {
    throw UsageError("bad value " + base::quoted(*text) + " for --" + name +
                     ": a whole number from " + std::to_string(low) + " to " +
                     std::to_string(high) + " is needed");
  }
  return *number;
}

int64_t ParsedOptions::seconds_as_ms(const std::string& name, int64_t fallback_ms) const {
  const std::optional<std::string> text = value(name);
  if (!text) {
    return fallback_ms;
  }
  // std::from_chars for double, and std::ceil below, need libm, which adds 0.1 ms to the start.
  char* end = nullptr;
  const double seconds = std::strtod(text->c_str(), &end);
  constexpr double kLongest = 1e9;
  if (text->empty() || text->find_first_not_of("0123456789.e+-") != std::string::npos ||
      end != text->c_str() + text->size() || !(seconds >= 0) || seconds > kLongest) {
    throw UsageError("bad value " + base::quoted(*text) + " for --" + name +
                     ": seconds such as 5 or 0.5 are needed");
  }
  const double ms = seconds * 1000;
  const auto whole = static_cast<int64_t>(ms);
  return static_cast<double>(whole) < ms ? whole + 1 : whole;
}

std::string ParsedOptions::choice(const std::string& name,
                                  std::initializer_list<std::string_view> allowed) const {
  const std::optional<std::string> text = value(name);
  if (!text) {
    return std::string(*allowed.begin());
  }
  std::string list;
  for (const std::string_view word : allowed) {
    if (*text == word) {
      return *text;
    }
    list += (list.empty() ? "" : ", ") + std::string(word);
  }
  throw UsageError("bad value " + base::quoted(*text) + " for --" + name + ": one of " + list +
                   " is needed");
}

void ParsedOptions::add(const OptionText* option, const std::string& value) {
  if (option == nullptr) {
    operands_.push_back(value);
    words_.push_back({.name = "", .value = value});
    return;
  }
  std::vector<std::string>& values = values_[option->name];
  const bool has_value = value != kNoValue;
  if (has_value && option->argument == nullptr && !option->optional) {
    throw UsageError("option " + base::quoted(std::string("--") + option->name) +
                     " takes no value");
  }
  if (has_value) {
    values.push_back(value);
  }
  words_.push_back({.name = option->name, .value = has_value ? value : ""});
}

void ParsedOptions::require_operands(size_t low, size_t high, std::string_view what) const {
  if (operands_.size() < low) {
    throw UsageError("too few operands: " + std::string(what) + " needed");
  }
  if (operands_.size() > high) {
    throw UsageError("unexpected operand " + base::quoted(operands_[high]));
  }
}

Options::Options(std::string command, std::string synopsis, std::string summary)
    : command_(std::move(command)), synopsis_(std::move(synopsis)), summary_(std::move(summary)) {}

Options& Options::group(const char* title) {
  group_ = title;
  return *this;
}

Options& Options::unlisted() {
  return group(kNotShown);
}

Options& Options::add(const char* names, const char* argument, const char* help) {
  const bool has_letter = std::string_view(names).substr(0, 2).ends_with(',');
  options_.push_back({.name = has_letter ? names + 2 : names,
                      .letter = has_letter ? names[0] : '\0',
                      .argument = argument,
                      .help = help,
                      .group = group_});
  return *this;
}

Options& Options::flag(const char* names, const char* help) {
  return add(names, nullptr, help);
}

Options& Options::value(const char* names, const char* argument, const char* help) {
  return add(names, argument, help);
}

Options& Options::optional_value(const char* names, const char* help) {
  add(names, nullptr, help);
  options_.back().optional = true;
  return *this;
}

Options& Options::footer(const char* text) {
  footer_ = text;
  return *this;
}

void Options::add_common() {
  group("Common")
      .flag("json", "print JSON, one object per line")
      .flag("q,quiet", "print no warnings and no summaries")
      .flag("v,verbose", "print each step")
      .flag("h,help", "print this help")
      .flag("V,version", "print the version");
}

cxxopts::Options Options::parser() const {
  cxxopts::Options parser(command_, "Usage: " + command_ + " " + synopsis_ + "\n" + summary_);
  parser.custom_help("").positional_help("").set_width(kHelpWidth);
  for (const OptionText& option : options_) {
    parser.add_option(option.group != kNotShown ? option.group : kOperand,
                      option.letter != '\0' ? std::string(1, option.letter) : "", option.name,
                      option.help, std::make_shared<Value>(option),
                      option.argument != nullptr ? option.argument : "");
  }
  parser.add_option(kOperand, "", kOperand, "", cxxopts::value<Raw>(), "");
  parser.parse_positional(kOperand);
  return parser;
}

std::string Options::help() const {
  std::vector<std::string> groups;
  for (const OptionText& option : options_) {
    if (option.group != kNotShown && std::ranges::find(groups, option.group) == groups.end()) {
      groups.emplace_back(option.group);
    }
  }
  std::string text = parser().help(groups, /*print_usage=*/false);
  for (size_t end = 0; (end = text.find(" \n", end)) != std::string::npos;) {
    text.erase(end, 1);  // where cxxopts has inserted a line break
  }
  return footer_.empty() ? text : text + "\n" + std::string(footer_) + "\n";
}

const OptionText* Options::find(std::string_view name) const {
  const auto found = std::ranges::find_if(options_, [&](const OptionText& option) {
    return name == option.name || (name.size() == 1 && name.front() == option.letter);
  });
  return found == options_.end() ? nullptr : &*found;
}

// Returns the words of a command line. A value attached to a letter ("-ofile") becomes a separate
// word: without <regex>, cxxopts accepts only letters and digits there.
std::vector<std::string> Options::detach_values(int argc, char** argv) const {
  std::vector<std::string> words{command_};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = words.emplace_back(argv[i]);
    const OptionText* option = nullptr;
    if (word == "--") {
      words.insert(words.end(), argv + i + 1, argv + argc);
      break;
    }
    if (word.starts_with("--")) {
      option = find(word.substr(2));
    } else if (word.starts_with('-')) {
      size_t letter = 0;
      do {
        ++letter;
        option = letter < word.size() ? find(word.substr(letter, 1)) : nullptr;
      } while (option != nullptr && option->argument == nullptr);
      if (option != nullptr && letter + 1 < word.size()) {
        std::string value(word.substr(letter + 1));
        words.back().resize(letter + 1);
        words.push_back(std::move(value));
        continue;
      }
    }
    if (option != nullptr && option->argument != nullptr && i + 1 < argc) {
      words.emplace_back(argv[++i]);
    }
  }
  return words;
}

ParsedOptions Options::read(int argc, char** argv) const {
  const std::vector<std::string> words = detach_values(argc, argv);
  std::vector<const char*> pointers;
  pointers.reserve(words.size());
  for (const std::string& word : words) {
    pointers.push_back(word.c_str());
  }
  ParsedOptions parsed;
  try {
    const cxxopts::ParseResult result =
        parser().parse(static_cast<int>(pointers.size()), pointers.data());
    for (const cxxopts::KeyValue& argument : result.arguments()) {
      parsed.add(argument.key() == kOperand ? nullptr : find(argument.key()), argument.value());
    }
  } catch (const cxxopts::exceptions::missing_argument& error) {
    throw UsageError("option " + subject_of(error) + " needs a value");
  } catch (const cxxopts::exceptions::parsing& error) {
    throw UsageError("unknown option " + subject_of(error));
  }
  return parsed;
}

std::optional<ParsedOptions> Options::parse(int argc, char** argv) {
  add_common();
  ParsedOptions parsed = read(argc, argv);
  MessageStyle& style = message_style();
  style.json = parsed.has("json");
  style.verbosity = parsed.has("quiet")     ? Verbosity::quiet
                    : parsed.has("verbose") ? Verbosity::verbose
                                            : Verbosity::normal;
  if (parsed.has("help")) {
    write_out(help());
    return std::nullopt;
  }
  if (parsed.has("version")) {
    write_out(command_.substr(0, command_.find(' ')) + " " + kVersion + "\n");
    return std::nullopt;
  }
  return parsed;
}

std::optional<std::vector<std::string>> split_command(int& argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--") {
      std::vector<std::string> command(argv + i + 1, argv + argc);
      argc = i;
      return command;
    }
  }
  return std::nullopt;
}

}  // namespace base
