"""Every kind of event that the journal takes, each with what it says; others are refused."""

from __future__ import annotations

CONTROLLER_STARTED = "controller.started"
CONTROLLER_STOPPED = "controller.stopped"
LEASE_ACQUIRED = "lease.acquired"
LEASE_LOST = "lease.lost"
WINDOW_OBSERVED = "window.observed"
INCIDENT_OPENED = "incident.opened"
INCIDENT_MERGED = "incident.merged"
DIAGNOSIS_MADE = "diagnosis.made"
PLAN_MADE = "plan.made"
PLAN_FAILED = "plan.failed"
GUARD_JUDGED = "guard.judged"
APPROVAL_REQUESTED = "approval.requested"
APPROVAL_GIVEN = "approval.given"
APPROVAL_REJECTED = "approval.rejected"
STEP_INTENDED = "step.intended"
STEP_OUTCOME = "step.outcome"
STEP_VERIFIED = "step.verified"
EVIDENCE_JUDGED = "evidence.judged"
TRAFFIC_SHIFTED = "traffic.shifted"
INCIDENT_WAITING = "incident.waiting"
INCIDENT_RESUMED = "incident.resumed"
INCIDENT_RESOLVED = "incident.resolved"
INCIDENT_ESCALATED = "incident.escalated"
JOURNAL_KEYED = "journal.keyed"
JOURNAL_PRUNED = "journal.pruned"
JOURNAL_SEALED = "journal.sealed"
MODEL_MANAGED = "model.managed"
MEMORY_SAVED = "memory.saved"
TARGET_PAUSED = "target.paused"
TARGET_RESUMED = "target.resumed"
APPROVAL_USED = "approval.used"
APPROVAL_INVALIDATED = "approval.invalidated"
APPROVAL_EXPIRED = "approval.expired"
TARGET_TAKEN_OVER = "target.taken_over"
TARGET_HANDED_BACK = "target.handed_back"
BASELINE_ACCEPTED = "baseline.accepted"
AUTONOMY_CHANGED = "autonomy.changed"
POLICIES_LOADED = "policies.loaded"
POLICIES_REJECTED = "policies.rejected"
ALERT_FIRED = "alert.fired"
ALERT_RESOLVED = "alert.resolved"
MODELS_FOLLOWED = "models.followed"
MODELS_REJECTED = "models.rejected"
PREDICTIONS_PRUNED = "predictions.pruned"

KINDS: dict[str, str] = {
    CONTROLLER_STARTED: "A controller process began to tick.",
    CONTROLLER_STOPPED: "A controller process ended in an orderly way.",
    LEASE_ACQUIRED: "A holder may act on the target from now on, with this fencing token.",
    LEASE_LOST: "A holder found that it may no longer act on the target.",
    WINDOW_OBSERVED: "One window of the prediction log was measured.",
    INCIDENT_OPENED: "Facts break a goal: mendloop accepted to do something about it.",
    INCIDENT_MERGED: "Another trigger arrived for an incident that is already open.",
    DIAGNOSIS_MADE: "What mendloop believes the cause to be, with reasons and rivals.",
    PLAN_MADE: "The cheapest plan that reaches the goal, and what was rejected.",
    PLAN_FAILED: "No permitted plan reaches the goal.",
    GUARD_JUDGED: "Policies ruled on a step, with the values of that moment.",
    APPROVAL_REQUESTED: "A step waits for a person's decision.",
    APPROVAL_GIVEN: "A person approved exactly these arguments and facts.",
    APPROVAL_REJECTED: "A person forbade a step.",
    STEP_INTENDED: "A step is about to act; written before anything changes.",
    STEP_OUTCOME: "What the act came to, after looking at the world.",
    STEP_VERIFIED: "Whether what the step was to achieve holds.",
    EVIDENCE_JUDGED: "A statistical question was answered: healthy, harmful or unknown.",
    TRAFFIC_SHIFTED: "The traffic split of a target was changed.",
    INCIDENT_WAITING: "The incident sleeps until a time or an event.",
    INCIDENT_RESUMED: "The incident was woken or taken over.",
    INCIDENT_RESOLVED: "The goal holds again.",
    INCIDENT_ESCALATED: "Nothing safe is left to do: a person is needed.",
    JOURNAL_KEYED: "The key that signs checkpoints from now on.",
    JOURNAL_PRUNED: "Retention took the content of old payloads; their digests stay.",
    JOURNAL_SEALED: "A segment of the journal was written to a file that no longer changes.",
    MODEL_MANAGED: "The document by which a target is kept, whenever it is another one.",
    MEMORY_SAVED: "What the next look at a target has to know of the ones before.",
    TARGET_PAUSED: "A person stopped changes on the target (or on all of them).",
    TARGET_RESUMED: "A person allowed changes again.",
    APPROVAL_USED: "The one step that an approval was given for is about to act.",
    APPROVAL_INVALIDATED: "The world changed: a request, or an unused approval, is good no more.",
    APPROVAL_EXPIRED: "Nobody answered a request in time.",
    TARGET_TAKEN_OVER: "A person changes the target: mendloop stands down and looks on.",
    TARGET_HANDED_BACK: "A person gave the target back to mendloop.",
    BASELINE_ACCEPTED: "What was found after a hand-back counts as mendloop's own state.",
    AUTONOMY_CHANGED: "A target went up or down the ladder of autonomy.",
    POLICIES_LOADED: "A set of rules is in force from now on.",
    POLICIES_REJECTED: "Changed rules are broken: those before stay in force.",
    ALERT_FIRED: "Others' alerting says something of the target: mendloop looks, no more.",
    ALERT_RESOLVED: "An alert is over, or was not repeated in time.",
    MODELS_FOLLOWED: "Which models a controller keeps from now on.",
    MODELS_REJECTED: "Model documents are broken: those before stay in force.",
    PREDICTIONS_PRUNED: "A person is about to take old rows out of the prediction log.",
}

EXPLANATIONS = frozenset(
    {
        WINDOW_OBSERVED,
        DIAGNOSIS_MADE,
        PLAN_MADE,
        PLAN_FAILED,
        GUARD_JUDGED,
        EVIDENCE_JUDGED,
        MEMORY_SAVED,
    }
)
"""Kinds whose payload retention may prune: what was seen and thought. What was done, allowed and
told stays for ever."""
