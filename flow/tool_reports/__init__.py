"""Tool reports as typed data: ``read_report(path)`` for one file, ``read_folder(path)`` for all under a folder.

hls4ml's own parsers are not used: they go by fixed paths and file names, take a missing file for an empty result, count
a 36 Kb block RAM tile as one 18 Kb block, and leave figures as text.
"""

from flow.tool_reports.folder import Folder, read_folder
from flow.tool_reports.model import Report, Resources
from flow.tool_reports.read import MAX_BYTES, parse_report, read_report

__all__ = ["MAX_BYTES", "Folder", "Report", "Resources", "parse_report", "read_folder", "read_report"]
