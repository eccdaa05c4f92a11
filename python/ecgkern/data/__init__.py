"""Real recordings: PTB-XL and MIT-BIH readers, R peaks, and 8 leads to 12.

All signals are float32 in mV, shape (length, n_leads), read through wfdb. Importing this module
needs numpy alone; reading needs the extra ``ecg`` (``pip install "ecgkern[ecg]"``).
"""

from ecgkern.data._records import Record, RecordError, RecordWarning, Skipped, read_record
from ecgkern.data.leads import LEADS_8, LEADS_12, to_12_leads
from ecgkern.data.mitbih import AAMI_CLASSES, MITBIH, Beats, Windows
from ecgkern.data.peaks import RPeaks, find_r_peaks
from ecgkern.data.ptbxl import PTBXL

__all__ = [
    "AAMI_CLASSES",
    "LEADS_8",
    "LEADS_12",
    "MITBIH",
    "PTBXL",
    "Beats",
    "RPeaks",
    "Record",
    "RecordError",
    "RecordWarning",
    "Skipped",
    "Windows",
    "find_r_peaks",
    "read_record",
    "to_12_leads",
]
