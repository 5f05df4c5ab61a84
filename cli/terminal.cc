// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cli/text_table.h"

namespace penstock {
namespace {

constexpr unsigned kUsualWidth = 80;

// How many lines of the terminal a text takes, long lines wrapped.
size_t lines_of(const std::string& text, unsigned width) {
  size_t lines = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const size_t columns = display_width(std::string_view(text).substr(begin, end - begin));
    lines += columns == 0 ? 1 : (columns + width - 1) / width;
    begin = end + 1;
  }
  return lines;
}

unsigned terminal_height(int fd) {
  struct winsize size = {};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row != 0 ? size.ws_row : 24;
}

}  // namespace

bool is_terminal(int fd) {
  if (::isatty(fd) != 1) return false;
  const char* const type = std::getenv("TERM");
  return type == nullptr || std::string_view(type) != "dumb";
}

unsigned terminal_width(int fd) {
  struct winsize size = {};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : kUsualWidth;
}

bool has_utf8_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale = value;
    const size_t dot = locale.find('.');
    if (dot == std::string_view::npos) return false;
    const std::string encoding(locale.substr(dot + 1, locale.find('@') - dot - 1));
    return ::strcasecmp(encoding.c_str(), "UTF-8") == 0 ||
           ::strcasecmp(encoding.c_str(), "utf8") == 0;
  }
  return false;
}

bool shows_unicode() { return is_terminal(STDOUT_FILENO) && has_utf8_locale(); }

Redrawn::Redrawn(int stream_fd) : fd_(stream_fd), in_place_(is_terminal(stream_fd)) {}

void Redrawn::show(const std::string& text) {
  FILE* const stream = fd_ == STDERR_FILENO ? stderr : stdout;
  if (!in_place_ && !is_first_) std::fputs("\n", stream);
  if (in_place_ && lines_ != 0) {
    // What scrolled away cannot be reached: then the whole screen is drawn anew.
    if (lines_ < terminal_height(fd_)) {
      std::fprintf(stream, "\033[%zuA\r\033[J", lines_);
    } else {
      std::fputs("\033[H\033[2J", stream);
    }
  }
  std::fputs(text.c_str(), stream);
  std::fflush(stream);
  lines_ = in_place_ ? lines_of(text, terminal_width(fd_)) : 0;
  is_first_ = false;
}

}  // namespace penstock
