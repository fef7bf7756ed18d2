"""The stages: plain functions over a spec and a root folder.

sample → order → solve → finalise → train; each finds out what is left to do and does that.
"""

from pipeline.stages.check import check
from pipeline.stages.finalise import finalise
from pipeline.stages.order import order
from pipeline.stages.sample import sample
from pipeline.stages.solve import solve
from pipeline.stages.status import Status, status
from pipeline.stages.train import train

__all__ = ["Status", "check", "finalise", "order", "sample", "solve", "status", "train"]
