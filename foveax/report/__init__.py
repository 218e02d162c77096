"""The report on a run: tables, figures, and one page that holds them all."""

from foveax.report.report import write_report as write_report
