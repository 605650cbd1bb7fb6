// gear_golden [DIR]: checks every golden case of a folder (default: the environment variable
// GEAR_GOLDEN, else ../shared/golden) and prints a line per case.

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>

#include "gear/core/clock.h"
#include "gear/core/error.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {
namespace {

using Checker = std::function<Outcome(const Case&, Report&)>;

const std::map<std::string, Checker>& checkers() {
  static const std::map<std::string, Checker> table = {
      {"tok_vq", check_tokenizer},
      {"tok_lfq", check_tokenizer},
      {"tok_glfq", check_tokenizer},
      {"tok_ibq", check_tokenizer},
      {"quantizer", check_quantizer},
      {"dual_readout", check_dual_readout},
      {"ar_c2i", check_ar_c2i},
      {"ar_generate", check_ar_generate},
      {"ar_t2i", check_ar_t2i},
      {"align", check_align},
      {"dinov2", check_dinov2},
      {"dinov3", check_dinov3},
      {"siglip2", check_siglip2},
      {"clip", check_clip},
      {"lpips", check_lpips},
      {"disc", check_disc},
      {"disc_loss", check_disc_loss},
      {"optim", check_optim},
      {"preprocess", check_preprocess},
      {"manifests", check_manifests},
      {"full_model", check_full_model},
      {"gear_step", check_gear_step},
      {"gear_train_steps", check_gear_train_steps},
      {"checkpoints", check_checkpoints},
      {"recon_metrics", check_recon_metrics},
  };
  return table;
}

enum class Verdict { kPassed, kFailed, kNotBuilt };

void print_line(const char* verdict, const std::string& name, const std::string& text) {
  std::printf("%-9s %-32s %s\n", verdict, name.c_str(), text.c_str());
  std::fflush(stdout);
}

Verdict check_case(const std::filesystem::path& folder) {
  constexpr size_t kMostFailuresPrinted = 8;
  const std::string name = folder.filename().string();
  try {
    const Case golden(folder);
    const std::string kind = golden.json().at("kind");
    const auto checker = checkers().find(kind);
    if (checker == checkers().end()) {
      print_line("not built", name, "kind " + kind);
      return Verdict::kNotBuilt;
    }
    const Stopwatch watch;
    Report report(golden);
    const Outcome outcome = checker->second(golden, report);
    if (!outcome.handled) {
      print_line("not built", name, outcome.not_built);
      return Verdict::kNotBuilt;
    }
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, " (%.1f s)", watch.seconds());
    print_line(report.passed() ? "passed" : "FAILED", name, report.summary() + seconds);
    for (size_t i = 0; i < report.failures().size(); ++i) {
      if (i == kMostFailuresPrinted) {
        std::printf("            ... and %zu more\n", report.failures().size() - i);
        break;
      }
      std::printf("            %s\n", report.failures()[i].c_str());
    }
    return report.passed() ? Verdict::kPassed : Verdict::kFailed;
  } catch (const std::exception& error) {
    print_line("FAILED", name, error.what());
    return Verdict::kFailed;
  }
}

std::filesystem::path golden_folder(int argc, char** argv) {
  if (argc > 1) return argv[1];
  if (const char* from_environment = std::getenv("GEAR_GOLDEN")) return from_environment;
  return "../shared/golden";
}

int run(int argc, char** argv) {
  at::set_num_threads(1);  // sums split over threads would round differently on every machine
  const auto root = golden_folder(argc, argv);
  std::error_code ignored;
  if (!std::filesystem::is_directory(root, ignored)) {
    std::fprintf(stderr, "error: %s: no such folder of golden cases; name one: gear_golden DIR\n",
                 root.string().c_str());
    return exit_code::kUserError;
  }
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (std::filesystem::exists(entry.path() / "case.json")) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());

  std::map<Verdict, int> counts;
  for (const auto& folder : folders) ++counts[check_case(folder)];
  std::printf("%d passed, %d failed, %d not built yet\n", counts[Verdict::kPassed],
              counts[Verdict::kFailed], counts[Verdict::kNotBuilt]);
  if (folders.empty()) {
    std::fprintf(stderr, "error: %s: holds no folder with a case.json\n", root.string().c_str());
    return exit_code::kUserError;
  }
  return counts[Verdict::kFailed] == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gear::golden

int main(int argc, char** argv) { return gear::golden::run(argc, argv); }
