"""`ehrcore pseudonym`: what patients are called, for whoever holds the authority's secret."""

import argparse
import sys

from ehrcore.cli.records import open_authority
from ehrcore.drive.net.client import folder_of
from ehrcore.errors import DeploymentError


def pseudonym(options: argparse.Namespace) -> None:
    """Print a line per patient, in hexadecimal; ids from standard input are seen by no list of processes."""
    folder, plan = folder_of(options.folder)
    authority = open_authority(folder, plan)
    given = sys.stdin.read().splitlines() if options.patient == "-" else [options.patient]
    if not given:
        raise DeploymentError("standard input: expected a patient's id a line, found nothing")
    for patient in given:
        print(authority.pseudonym(patient, options.study).hex())
