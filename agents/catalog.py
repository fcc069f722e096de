"""Every tool of the five specialists, by name: all that the planner may plan with."""

from __future__ import annotations

from collections.abc import Mapping

from agents.contract import Tool
from agents.data_validator.pinning import PinTrainingData
from agents.data_validator.tools import (
    AwaitTrustedData,
    FallBack,
    QuarantineWindow,
    RestoreInputs,
)
from agents.deployer.outage import RestartServing, ReviveFormer
from agents.deployer.promotion import Promote, SwitchBack
from agents.deployer.servers import DeployChallenger, RetireVersion, WithdrawChallenger
from agents.deployer.shadowing import MirrorRequests, StopShadow
from agents.deployer.shifting import AdvanceCanary, RollBack, StartCanary
from agents.deployer.spares import StopSpareServers
from agents.feature_engineer.skew import CheckTrainingServingSkew
from agents.monitor.canary import JudgeCanary
from agents.monitor.escalation import LeaveAlone
from agents.monitor.probation import WatchProbation
from agents.monitor.shadow import JudgeShadow
from agents.trainer.retraining import retrain_full, retrain_recent


def all_tools() -> Mapping[str, Tool]:
    """Tools by the name in their contract."""
    tools: tuple[Tool, ...] = (
        QuarantineWindow(),
        FallBack(),
        AwaitTrustedData(),
        RestoreInputs(),
        PinTrainingData(),
        CheckTrainingServingSkew(),
        retrain_full(),
        retrain_recent(),
        DeployChallenger(),
        WithdrawChallenger(),
        RetireVersion(),
        StopSpareServers(),
        MirrorRequests(),
        JudgeShadow(),
        StopShadow(),
        StartCanary(),
        AdvanceCanary(),
        RollBack(),
        Promote(),
        SwitchBack(),
        RestartServing(),
        ReviveFormer(),
        JudgeCanary(),
        LeaveAlone(),
        WatchProbation(),
    )
    return {tool.contract.name: tool for tool in tools}
