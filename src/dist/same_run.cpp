#include "gear/dist/same_run.h"

#include <elf.h>
#include <link.h>
#include <torch/version.h>

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "dist/rank_sign.h"
#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/text.h"

namespace gear::dist {
namespace {

constexpr double kWarnedSeconds = 5.0;  // ranks do not leave a barrier at the very same time
constexpr double kRefusedSeconds = 60.0;

std::string as_hex(const unsigned char* bytes, size_t count) {
  std::ostringstream text;
  for (size_t i = 0; i < count; ++i) {
    text << std::hex << std::setw(2) << std::setfill('0') << static_cast<int>(bytes[i]);
  }
  return text.str();
}

/// The build id that the linker gave a loaded program, among the notes of its first object.
int read_build_id(dl_phdr_info* program, size_t /*size*/, void* result) {
  constexpr size_t kAlignment = 4;
  const auto aligned = [](size_t size) {
    return (size + kAlignment - 1) / kAlignment * kAlignment;
  };
  for (int i = 0; i < program->dlpi_phnum; ++i) {
    const auto& segment = program->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const unsigned char*>(program->dlpi_addr + segment.p_vaddr);
    const auto* end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
      const auto* content = at + sizeof(*note) + aligned(note->n_namesz);
      if (note->n_type == NT_GNU_BUILD_ID) {
        *static_cast<std::string*>(result) = as_hex(content, note->n_descsz);
      }
      at = content + aligned(note->n_descsz);
    }
  }
  return 1;  // the program itself comes first, its libraries do not matter
}

std::string to_text(const Facts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text += name + "\t" + value + "\n";
  return text;
}

Facts facts_of(const std::string& text) {
  Facts facts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t tab = line.find('\t');
    facts.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  return facts;
}

std::string value_of(const Facts& facts, const std::string& name) {
  for (const auto& [known, value] : facts) {
    if (known == name) return value;
  }
  return "absent";
}

/// The clocks of all ranks; the barrier is where they read them together.
std::vector<HostTime> read_clocks(const World& world) {
  world.barrier();
  std::ostringstream own;
  own.precision(15);
  own << own_home().host << ' ' << wall_clock();
  std::vector<HostTime> times;
  for (const std::string& text : world.share(own.str())) {
    HostTime time;
    std::istringstream(text) >> time.host >> time.seconds;
    times.push_back(time);
  }
  return times;
}

}  // namespace

Facts program_facts(const std::string& version) {
  std::string build = "unknown";
  dl_iterate_phdr(read_build_id, &build);
  return {{"the version of gear", version},
          {"the build of gear", build},
          {"the version of LibTorch", TORCH_VERSION}};
}

void expect_same_run(const World& world, const Facts& facts) {
  if (world.is_single()) return;
  const Facts expected = facts_of(world.share(world.is_first() ? to_text(facts) : "")[0]);
  const auto differences = world.share(difference(facts, expected));
  const auto times = read_clocks(world);
  for (size_t rank = 0; rank < differences.size(); ++rank) {
    if (differences[rank].empty()) continue;
    fail("rank ", rank, " (host ", times[rank].host, ") differs from rank 0 (host ", times[0].host,
         ") in ", differences[rank],
         "; start the same program with the same configuration on all "
         "ranks");
  }
  expect_clocks_agree(times);
  const std::string warning = clock_difference(times, kWarnedSeconds);
  if (world.is_first() && !warning.empty()) log::warn(warning);
}

std::string difference(const Facts& facts, const Facts& expected) {
  constexpr size_t kMostNamed = 8;
  std::vector<std::string> parts;
  const auto compare = [&](const std::string& name) {
    const std::string value = value_of(facts, name), wanted = value_of(expected, name);
    if (value != wanted) parts.push_back(name + ": " + value + ", not " + wanted);
  };
  for (const auto& fact : expected) compare(fact.first);
  for (const auto& fact : facts) {
    if (value_of(expected, fact.first) == "absent") compare(fact.first);
  }
  if (parts.size() > kMostNamed) {
    const std::string rest = std::to_string(parts.size() - kMostNamed);
    parts.resize(kMostNamed);
    parts.push_back("and " + rest + " more");
  }
  return join(parts, "; ");
}

void expect_clocks_agree(const std::vector<HostTime>& times) {
  const std::string fault = clock_difference(times, kRefusedSeconds);
  if (!fault.empty()) fail(fault, ", then start again");
}

std::string clock_difference(const std::vector<HostTime>& times, double tolerated) {
  const auto [first, last] = std::minmax_element(
      times.begin(), times.end(),
      [](const HostTime& a, const HostTime& b) { return a.seconds < b.seconds; });
  const double apart = last->seconds - first->seconds;
  if (first->host == last->host || apart <= tolerated) return "";
  return "the clock of host " + last->host + " is " + format_duration(apart) +
         " ahead of that of host " + first->host +
         ": times in logs and of files will not fit together; synchronise them (NTP)";
}

}  // namespace gear::dist
