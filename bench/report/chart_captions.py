"""What the charts of the page show, where they stand for a figure as printed, whose panels they do not have."""

from typing import Final

#: Figure -> the caption of its chart (`bench.report.charts`).
CAPTIONS: Final = {
    "table1_throughput": "Each configuration: what the paper prints (across) and ours in six minutes (up, on a log "
    "scale), in each mode; rows 1 and 16 have signs of their own.",
    "hashes_ratios": "Time over that of SHA-256 by the size of the message, in the chosen library, with the "
    "processor's SHA instructions or without; simultaneous 95 % intervals. Dashed: SHA-256.",
    "variants_difficulty": "Each rule with each hash, by the chosen measure, on a log scale. Simulated; real nodes "
    "have a sign of their own.",
    "variants_extrapolation": "Proof of work (SHA-256) over its difficulty, in the chosen quantity: points as "
    "simulated, or as the model alone says, and dashed the model. Line: proof of stake.",
    "variants_factors": "What share of the variance of each response each choice explains, in the chosen design.",
    "latency_stall": "Which share of the requests took at most how long, as each method sees it, with the chosen "
    "stall. Both scales are logarithmic. Simulated.",
    "load_curves": "The chosen measure over what is offered to real networks. Medians over repeats, with 95 % "
    "intervals where there are enough of them.",
    "faults_course": "What is committed over time with the chosen fault, which lasts while it is grey. Dashed: what is "
    "offered.",
    "agree": "What the simulator predicted (across) and real networks did (up), in the chosen measure, with 95 % "
    "intervals. On the dashed line both are equal.",
    "tamper": "Which share of the tries of each attack got past each protection, under the chosen hash. Where there is "
    "no field it was not tried.",
}
