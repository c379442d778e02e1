#include "base/options.h"

#include <charconv>
#include <cstdlib>

// Without std::regex, whose construction costs each start about a millisecond; and without
// splitting values at commas, which belong to file names.
#define CXXOPTS_NO_REGEX
#define CXXOPTS_VECTOR_DELIMITER '\0'
#include <cxxopts.hpp>

#include "base/error.h"
#include "base/message.h"
#include "base/output.h"
#include "base/version.h"

namespace base {
namespace {

constexpr size_t kHelpWidth = 80;
constexpr const char* kOperands = "operands";  // how cxxopts is told to call them

// cxxopts quotes with UTF-8 whatever the locale is.
std::string with_plain_quotes(std::string text) {
  for (const std::string_view quote : {"\xe2\x80\x98", "\xe2\x80\x99"}) {
    for (size_t at = text.find(quote); at != std::string::npos; at = text.find(quote)) {
      text.replace(at, quote.size(), "'");
    }
  }
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') {
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  }
  return text;
}

std::string long_name(const std::string& names) {
  return names.substr(names.find(',') + 1);
}

}  // namespace

struct Options::Impl {
  std::string command;
  std::string synopsis;
  std::string summary;
  std::string group;
  std::vector<std::string> groups{""};
  std::string footer;
  cxxopts::Options parser;
  std::vector<std::string> flags;
  std::vector<std::string> with_value;

  void add_common() {
    parser.add_options("Common")("json", "print JSON, one object a line")(
        "q,quiet", "no warnings, no summaries")("v,verbose", "say each step")(
        "h,help", "print this help")("V,version", "print the version");
    parser.add_options("hidden")(kOperands, "", cxxopts::value<std::vector<std::string>>());
    parser.parse_positional({kOperands});
    groups.emplace_back("Common");
    flags.insert(flags.end(), {"json", "quiet", "verbose", "help", "version"});
  }

  std::string help() const {
    std::string text = "Usage: " + command + " " + synopsis + "\n" + summary + "\n";
    // cxxopts writes the usage itself at the top; take what follows it.
    const std::string options = parser.help(groups, false);
    const size_t start = options.find("  -");
    const size_t heading = options.find("\n\n");
    text += "\n";
    text += options.substr(heading == std::string::npos || start < heading ? start : heading + 2);
    if (!text.ends_with("\n")) {
      text += "\n";
    }
    return footer.empty() ? text : text + "\n" + footer + "\n";
  }
};

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
    : impl_(new Impl{.command = std::move(command),
                     .synopsis = std::move(synopsis),
                     .summary = std::move(summary),
                     .group = "",
                     .footer = "",
                     .parser = cxxopts::Options("", ""),
                     .flags = {},
                     .with_value = {}}) {
  impl_->parser.set_width(kHelpWidth);
}
Options::Options(Options&&) noexcept = default;
Options& Options::operator=(Options&&) noexcept = default;
Options::~Options() = default;

Options& Options::group(std::string title) {
  impl_->group = std::move(title);
  impl_->groups.push_back(impl_->group);
  return *this;
}

Options& Options::unlisted() {
  impl_->group = "hidden";
  return *this;
}

Options& Options::flag(const std::string& names, const std::string& help) {
  impl_->parser.add_options(impl_->group)(names, help);
  impl_->flags.push_back(long_name(names));
  return *this;
}

Options& Options::value(const std::string& names, const std::string& argument,
                        const std::string& help) {
  impl_->parser.add_options(impl_->group)(names, help, cxxopts::value<std::vector<std::string>>(),
                                          argument);
  impl_->with_value.push_back(long_name(names));
  return *this;
}

Options& Options::footer(std::string text) {
  impl_->footer = std::move(text);
  return *this;
}

std::optional<ParsedOptions> Options::parse(int argc, char** argv) {
  impl_->add_common();
  ParsedOptions parsed;
  try {
    const cxxopts::ParseResult result = impl_->parser.parse(argc, argv);
    for (const std::string& name : impl_->flags) {
      if (result.count(name) != 0) {
        parsed.values_[name];
      }
    }
    for (const std::string& name : impl_->with_value) {
      if (result.count(name) != 0) {
        parsed.values_[name] = result[name].as<std::vector<std::string>>();
      }
    }
    if (result.count(kOperands) != 0) {
      parsed.operands_ = result[kOperands].as<std::vector<std::string>>();
    }
    for (const cxxopts::KeyValue& word : result.arguments()) {
      parsed.words_.push_back(
          {.name = word.key() == kOperands ? "" : word.key(), .value = word.value()});
    }
  } catch (const cxxopts::exceptions::exception& error) {
    throw UsageError(with_plain_quotes(error.what()));
  }
  MessageStyle& style = message_style();
  style.json = parsed.has("json");
  style.verbosity = parsed.has("quiet")     ? Verbosity::quiet
                    : parsed.has("verbose") ? Verbosity::verbose
                                            : Verbosity::normal;
  if (parsed.has("help")) {
    write_out(impl_->help());
    return std::nullopt;
  }
  if (parsed.has("version")) {
    const std::string program = impl_->command.substr(0, impl_->command.find(' '));
    write_out(program + " " + kVersion + "\n");
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
