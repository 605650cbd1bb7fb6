#include "cli/report.h"

#include <CLI/App.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include "cli/commands.h"
#include "cli/line_chart.h"
#include "cli/print.h"
#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/atomic.h"
#include "gear/train/metrics_log.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kColumns = 3;

/// What tells whether a run goes well, in the order of the report.
constexpr std::array kTelling = {
    "reconstruction_loss",
    "vq_val_ema/psnr",
    "ce_loss",
    "proj_loss_vq",
    "proj_loss_ar",
    "codebook/natural_entropy_nats",
    "codebook_usage",
    "soft/effective_size",
    "vq_total",
    "ar_total",
    "grad_norm_vq",
    "grad_norm_ar",
    "disc/d_loss",
    "time/images_per_second",
};

struct Run {
  std::string name;
  fs::path folder;
  std::map<std::string, train::MetricSeries> metrics;
};

/// The shortest ends of the paths that tell the runs apart: "soft", "ste".
std::vector<std::string> short_names(const std::vector<fs::path>& paths) {
  const auto tail = [](const fs::path& path, int parts) {
    fs::path name;
    fs::path rest = path.lexically_normal();
    if (!rest.has_filename()) rest = rest.parent_path();
    for (int i = 0; i < parts && rest.has_filename(); ++i, rest = rest.parent_path()) {
      name = name.empty() ? rest.filename() : rest.filename() / name;
    }
    return name.string();
  };
  std::vector<std::string> names;
  for (int parts = 1; parts < 8; ++parts) {
    names.clear();
    for (const fs::path& path : paths) names.push_back(tail(path, parts));
    if (std::set<std::string>(names.begin(), names.end()).size() == paths.size()) break;
  }
  return names;
}

std::vector<Run> read_runs(const std::vector<fs::path>& folders) {
  const auto names = short_names(folders);
  std::vector<Run> runs;
  for (size_t i = 0; i < folders.size(); ++i) {
    const fs::path file = folders[i] / "metrics.jsonl";
    if (!fs::exists(file)) {
      fail(folders[i].string(),
           ": is no run folder (it has no metrics.jsonl); name the run_dir of a "
           "gear train");
    }
    runs.push_back({.name = names[i], .folder = folders[i], .metrics = train::read_metrics(file)});
  }
  return runs;
}

bool any_has(const std::vector<Run>& runs, const std::string& metric) {
  return std::any_of(runs.begin(), runs.end(),
                     [&](const Run& run) { return run.metrics.contains(metric); });
}

std::vector<std::string> telling_metrics(const std::vector<Run>& runs) {
  std::vector<std::string> found;
  for (const std::string metric : kTelling) {
    if (any_has(runs, metric)) found.push_back(metric);
  }
  return found;
}

void expect_known(const std::vector<Run>& runs, const std::vector<std::string>& metrics) {
  std::vector<std::string> known;
  for (const Run& run : runs) {
    for (const auto& entry : run.metrics) known.push_back(entry.first);
  }
  for (const std::string& metric : metrics) {
    if (any_has(runs, metric)) continue;
    const std::string nearest = nearest_name(metric, known);
    fail("--metrics: no run has ", metric,
         nearest.empty() ? std::string("; metrics.jsonl shows the names")
                         : "; did you mean " + nearest + "?");
  }
}

std::string curves(const std::vector<Run>& runs, const std::vector<std::string>& metrics) {
  std::vector<std::string> names;
  for (const Run& run : runs) names.push_back(run.name);
  std::vector<Chart> charts;
  for (const std::string& metric : metrics) {
    Chart chart{.title = metric, .lines = {}};
    for (const Run& run : runs) {
      const auto series = run.metrics.find(metric);
      chart.lines.push_back(series == run.metrics.end() ? ChartLine{} : series->second);
    }
    charts.push_back(std::move(chart));
  }
  return draw_charts(charts, names, kColumns);
}

void write_last_values(std::ostream& html, const std::vector<Run>& runs,
                       const std::vector<std::string>& metrics) {
  html << "<h2>Last values</h2>\n<table><tr><th>metric</th>";
  for (const Run& run : runs) html << "<th>" << escape_xml(run.name) << "</th>";
  html << "</tr>\n";
  for (const std::string& metric : metrics) {
    html << "<tr><td>" << escape_xml(metric) << "</td>";
    for (const Run& run : runs) {
      const auto series = run.metrics.find(metric);
      std::array<char, 64> text{};
      if (series != run.metrics.end()) {
        const auto& [step, value] = series->second.back();
        std::snprintf(text.data(), text.size(), "%.4g (step %s)", value,
                      format_count(step).c_str());
      }
      html << "<td>" << text.data() << "</td>";
    }
    html << "</tr>\n";
  }
  html << "</table>\n";
}

/// The newest preview of each run, by a path relative to the report.
void write_pictures(std::ostream& html, const std::vector<Run>& runs,
                    const fs::path& report_folder) {
  for (const Run& run : runs) {
    fs::path newest;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(run.folder / "samples", none)) {
      if (entry.path().extension() == ".png") newest = std::max(newest, entry.path());
    }
    if (newest.empty()) continue;
    html << "<h2>" << escape_xml(run.name) << ": " << newest.stem().string()
         << "</h2>\n<p>Pictures, their reconstructions and, below, samples.</p>\n<img src='"
         << escape_xml(fs::proximate(newest, report_folder).string())
         << "' alt='newest preview'>\n";
  }
}

std::string html_page(const std::vector<Run>& runs, const std::vector<std::string>& metrics,
                      const fs::path& out) {
  std::ostringstream html;
  html << "<!DOCTYPE html>\n<html lang='en'><meta charset='utf-8'><title>gear report</title>\n"
          "<style>body{font:14px sans-serif;margin:2em}td,th{padding:2px 12px;text-align:left}"
          "img{image-rendering:pixelated;max-width:100%}</style>\n<h1>";
  for (size_t i = 0; i < runs.size(); ++i) html << (i > 0 ? ", " : "") << escape_xml(runs[i].name);
  html << "</h1>\n" << curves(runs, metrics);
  write_last_values(html, runs, metrics);
  write_pictures(html, runs, out.has_parent_path() ? out.parent_path() : fs::path("."));
  html << "</html>\n";
  return html.str();
}

void expect_report_name(const fs::path& out) {
  if (fs::is_directory(out)) {
    fail("--out: ", out.string(), ": is a folder; name a file, as in ",
         (out / "report.html").string());
  }
  if (out.extension() != ".html" && out.extension() != ".svg") {
    fail("--out: ", out.string(), ": must end in .html, or in .svg for the curves alone");
  }
}

}  // namespace

void write_report(const std::vector<fs::path>& folders, const std::vector<std::string>& metrics,
                  const fs::path& out) {
  const auto runs = read_runs(folders);
  expect_known(runs, metrics);
  const auto shown = metrics.empty() ? telling_metrics(runs) : metrics;
  io::write_file_atomically(
      out, out.extension() == ".svg" ? curves(runs, shown) : html_page(runs, shown, out));
}

void add_report_command(CLI::App& app) {
  struct Options {
    std::vector<std::string> runs;
    std::vector<std::string> metrics;
    std::string out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("report", "Draw the curves of one run, or of several side by side.");
  command->add_option("runs", options->runs, "Run folders")->required();
  command
      ->add_option("--metrics", options->metrics, "Names as in metrics.jsonl, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option(
      "--out", options->out,
      "An .html page, or .svg for the curves alone; for one run: report.html in it");
  command->footer(
      "Example: gear report runs/soft runs/ste --metrics ce_loss,codebook_usage --out both.html");
  command->callback([options] {
    if (options->out.empty() && options->runs.size() > 1) {
      fail("--out: is needed when several runs are compared, as in --out comparison.html");
    }
    const fs::path out = options->out.empty() ? fs::path(options->runs.front()) / "report.html"
                                              : fs::path(options->out);
    expect_report_name(out);
    write_report({options->runs.begin(), options->runs.end()}, options->metrics, out);
    print_line(out.string());
  });
}

}  // namespace gear::cli
