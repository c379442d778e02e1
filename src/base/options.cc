#include "base/options.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "base/output.h"
#include "base/version.h"

namespace base {
namespace {

constexpr const char* kNotShown = nullptr;
constexpr int kNoLetter = 256;  // getopt_long knows option 0 by this number, and so on

// After getopt_long has refused something, which for letters is in `optopt`.
std::string complaint(const OptionText* option, const char* word) {
  const bool is_letter = optopt != 0 && optopt < kNoLetter;
  const std::string written = is_letter           ? std::string("-") + static_cast<char>(optopt)
                              : option != nullptr ? std::string("--") + option->name
                                                  : word;
  if (option == nullptr) {
    return "unknown option " + base::quoted(written);
  }
  return "option " + base::quoted(written) +
         (option->argument != nullptr ? " needs a value" : " takes no value");
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
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size() || number < low || number > high) {
    throw UsageError("bad value " + base::quoted(*text) + " for --" + name +
                     ": a whole number from " + std::to_string(low) + " to " +
                     std::to_string(high) + " is needed");
  }
  return number;
}

int64_t ParsedOptions::seconds_as_ms(const std::string& name, int64_t fallback_ms) const {
  const std::optional<std::string> text = value(name);
  if (!text) {
    return fallback_ms;
  }
  // Not std::from_chars, nor std::ceil below: they need libm, which takes a start 0.1 ms to load.
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

Options& Options::optional_value(const char* names, const char* argument, const char* help) {
  add(names, argument, help);
  options_.back().optional = true;
  return *this;
}

Options& Options::footer(const char* text) {
  footer_ = text;
  return *this;
}

void Options::add_common() {
  group("Common")
      .flag("json", "print JSON, one object a line")
      .flag("q,quiet", "no warnings, no summaries")
      .flag("v,verbose", "say each step")
      .flag("h,help", "print this help")
      .flag("V,version", "print the version");
}

std::string Options::help() const {
  std::string text = "Usage: " + command_ + " " + synopsis_ + "\n" + summary_ + "\n\n";
  text += describe_options(options_);
  return footer_.empty() ? text : text + "\n" + std::string(footer_) + "\n";
}

ParsedOptions Options::read(int argc, char** argv) const {
  constexpr int kOperand = 1;
  std::string letters = "-";         // operands where they stand
  std::vector<struct option> names;  // ended by one of zeros
  const auto number = [&](const OptionText& option) {
    return kNoLetter + static_cast<int>(&option - options_.data());
  };
  for (const OptionText& option : options_) {
    names.push_back({.name = option.name,
                     .has_arg = option.argument == nullptr ? no_argument
                                : option.optional          ? optional_argument
                                                           : required_argument,
                     .flag = nullptr,
                     .val = number(option)});
    if (option.letter != '\0') {
      letters += option.letter;
      letters += option.argument != nullptr ? ":" : "";
    }
  }
  names.push_back({});
  const auto option_of = [&](int code) {
    return std::ranges::find_if(options_, [&](const OptionText& option) {
      return code == number(option) || (code != 0 && code == option.letter);
    });
  };

  ParsedOptions parsed;
  const auto keep_operand = [&](const char* word) {
    parsed.operands_.emplace_back(word);
    parsed.words_.push_back({.name = "", .value = word});
  };
  opterr = 0;
  optind = 0;  // from the start, whoever called it before
  for (int code = 0;
       (code = ::getopt_long(argc, argv, letters.c_str(), names.data(), nullptr)) != -1;) {
    if (code == kOperand) {
      keep_operand(optarg);
      continue;
    }
    if (code == '?') {
      const auto known = option_of(optopt);
      throw UsageError(complaint(known == options_.end() ? nullptr : &*known, argv[optind - 1]));
    }
    const OptionText& option = *option_of(code);
    std::vector<std::string>& values = parsed.values_[option.name];
    if (optarg != nullptr) {
      values.emplace_back(optarg);
    }
    parsed.words_.push_back({.name = option.name, .value = optarg != nullptr ? optarg : ""});
  }
  std::for_each(argv + std::min(optind, argc), argv + argc, keep_operand);
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
