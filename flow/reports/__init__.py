"""Tool reports as typed data: ``read_report(path)`` for one file, ``read_folder(path)`` for all under a folder."""

from flow.reports.folder import Folder, read_folder
from flow.reports.model import Report, Resources
from flow.reports.read import MAX_BYTES, parse_report, read_report

__all__ = ["MAX_BYTES", "Folder", "Report", "Resources", "parse_report", "read_folder", "read_report"]
