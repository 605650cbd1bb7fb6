#include "dist/rank_sign.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <sstream>

namespace gear::dist {

RankHome own_home() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return {.host = host.data(), .process = ::getpid()};
}

std::string to_text(const RankHome& home) { return std::to_string(home.process) + " " + home.host; }

RankHome home_of(const std::string& text) {
  RankHome home;
  std::istringstream(text) >> home.process >> home.host;
  return home;
}

std::string to_text(const RankSign& sign) {
  std::ostringstream text;
  text.precision(15);
  text << sign.beats << ' ' << sign.collectives << ' ' << sign.waiting << ' ' << sign.finished
       << ' ' << sign.told_at << ' ' << sign.doing;
  return text.str();
}

RankSign sign_of(const std::string& text) {
  RankSign sign;
  std::istringstream stream(text);
  stream >> sign.beats >> sign.collectives >> sign.waiting >> sign.finished >> sign.told_at;
  std::getline(stream >> std::ws, sign.doing);
  return sign;
}

double wall_clock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace gear::dist
