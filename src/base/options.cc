#include "base/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "base/output.h"
#include "base/version.h"

namespace base {
namespace {

constexpr const char* kNotShown = nullptr;

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
    throw UsageError("bad value " + quoted(*text) + " for --" + name + ": a whole number from " +
                     std::to_string(low) + " to " + std::to_string(high) + " is needed");
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
    throw UsageError("bad value " + quoted(*text) + " for --" + name +
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
  throw UsageError("bad value " + quoted(*text) + " for --" + name + ": one of " + list +
                   " is needed");
}

void ParsedOptions::require_operands(size_t low, size_t high, std::string_view what) const {
  if (operands_.size() < low) {
    throw UsageError("too few operands: " + std::string(what) + " needed");
  }
  if (operands_.size() > high) {
    throw UsageError("unexpected operand " + quoted(operands_[high]));
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

Options& Options::add(std::string_view names, const char* argument, const char* help) {
  const size_t comma = names.find(',');
  options_.push_back({.name = comma == std::string_view::npos ? names : names.substr(comma + 1),
                      .letter = comma == std::string_view::npos ? '\0' : names.front(),
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

// Takes the words of a command line one after the other.
class Options::Reader {
 public:
  Reader(const std::vector<OptionText>& options, std::span<char*> words)
      : options_(options), words_(words) {}

  ParsedOptions read() {
    bool may_be_option = true;
    while (!words_.empty()) {
      const std::string_view word = take();
      if (!may_be_option || word.size() < 2 || word[0] != '-') {
        parsed_.operands_.emplace_back(word);
        parsed_.words_.push_back({.name = "", .value = std::string(word)});
      } else if (word == "--") {
        may_be_option = false;
      } else if (word[1] == '-') {
        read_long(word);
      } else {
        read_letters(word);
      }
    }
    return std::move(parsed_);
  }

 private:
  std::string_view take() {
    const std::string_view word = words_.front();
    words_ = words_.subspan(1);
    return word;
  }

  template <typename Is>
  const OptionText& find(Is is, std::string_view written) const {
    const auto found = std::find_if(options_.begin(), options_.end(), is);
    if (found == options_.end()) {
      throw UsageError("unknown option " + quoted(written));
    }
    return *found;
  }

  void read_long(std::string_view word) {
    const size_t equals = word.find('=');
    const std::string_view written = word.substr(0, equals);
    const OptionText& option =
        find([&](const OptionText& each) { return each.name == written.substr(2); }, written);
    if (equals == std::string_view::npos) {
      read_value(option, written);
    } else if (option.argument != nullptr) {
      keep(option, word.substr(equals + 1));
    } else {
      throw UsageError("option " + quoted(written) + " takes no value");
    }
  }

  // Some flags, and perhaps one option with a value behind them: "-qo FILE", "-qoFILE".
  void read_letters(std::string_view word) {
    for (size_t at = 1; at < word.size(); ++at) {
      const std::string written = std::string("-") + word[at];
      const OptionText& option =
          find([&](const OptionText& each) { return each.letter == word[at]; }, written);
      if (option.argument != nullptr && at + 1 < word.size()) {
        keep(option, word.substr(at + 1));
        return;
      }
      read_value(option, written);
    }
  }

  // What an option has that nothing stands directly behind.
  void read_value(const OptionText& option, std::string_view written) {
    if (option.argument == nullptr) {
      const std::string name(option.name);
      parsed_.values_[name];
      parsed_.words_.push_back({.name = name, .value = ""});
    } else if (!words_.empty()) {
      keep(option, take());
    } else {
      throw UsageError("option " + quoted(written) + " needs a value");
    }
  }

  void keep(const OptionText& option, std::string_view value) {
    const std::string name(option.name);
    parsed_.values_[name].emplace_back(value);
    parsed_.words_.push_back({.name = name, .value = std::string(value)});
  }

  const std::vector<OptionText>& options_;
  std::span<char*> words_;
  ParsedOptions parsed_;
};

std::optional<ParsedOptions> Options::parse(int argc, char** argv) {
  add_common();
  const std::span words(argv, static_cast<size_t>(argc));
  ParsedOptions parsed = Reader(options_, words.subspan(std::min<size_t>(1, words.size()))).read();
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
