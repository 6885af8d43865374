"""What losslab must survive: number -> fault or input, and what passes. Tests name their row by a mark."""

ROWS = {
    1: (
        "SIGKILL at 50 seeded random steps of a run",
        "50 of 50 resume; weights, optimizer and metrics bit-equal",
    ),
    2: (
        "SIGKILL at every system call of a save",
        "always a valid checkpoint, at most one interval lost",
    ),
    3: (
        "SIGKILL the supervisor of a 40-run study, 10 times",
        "each run once; 0 lost, 0 duplicated, 0 orphans",
    ),
    4: (
        "SIGTERM and Ctrl-C, 20 times",
        "interrupted, exit 143 or 130, saved within 10 s, told how to resume",
    ),
    5: ("checkpoint truncated at 64 offsets", "64 detected, falls back, names file and reason"),
    6: ("200 random bytes flipped", "200 detected"),
    7: ("torn tail of the records", "cut off, append works, no complete row lost"),
    8: ("disk full", "exit not 0, previous checkpoint valid, resumes when freed"),
    9: ("read-only folder", "a hard error, never saved"),
    10: (
        "NaN and Inf in loss and gradient, absurd lr",
        "Diverged at step k, siblings unaffected, not ranked, strict JSON",
    ),
    11: ("out of memory", "that run is out_of_memory, or accumulates where allowed; recorded"),
    12: ("8 writers of 5,000 rows", "40,000 rows"),
    13: (
        "two supervisors on one study folder",
        "the second refuses with pid and host; a stale lease is recovered",
    ),
    14: ("300 bad specs", "300 rejected before torch, with key and suggestion, exit 2"),
    15: (
        "schedules and batch samplers, 10,000 cases",
        "finite, in bounds, each sample once an epoch, state round-trips",
    ),
    16: ("a faulty data server", "checksum enforced, nothing partial, bounded retries"),
    17: ("malicious archives, pickles", "nothing written outside, nothing executed"),
    18: ("40 script injections", "none runs in a browser, no request"),
    19: ("ray: worker killed, head killed", "same runs and same bits as local"),
    20: (
        "500 tiny runs on 2 cores",
        "500 of 500; under 1 MB per 100 runs; no leaked files or processes",
    ),
    21: (
        "500 drawn models, loaders and optimizers through both finders, some interrupted",
        "500 of 500 put back, bit for bit; they train on as without a test",
    ),
    22: (
        "SIGKILL at 20 seeded random steps of a bf16 run and of an fp16 run",
        "bits of the unbroken one",
    ),
    23: (
        "data read by worker processes, killed, resumed with another number of them",
        "the same records",
    ),
    24: (
        "60 wrong calls of finders, train, data, count from Python and the command line",
        "one line each, exit 2, nothing changed",
    ),
    25: (
        "two processes fetch one data set at once; cache removed or full meanwhile",
        "one fetches, the other waits; a clear line; nothing partial",
    ),
    26: (
        "a packed study: a byte changed, a row cut, a file missing",
        "said by name; the rest still reports",
    ),
    27: (
        "400 random modules on random inputs, counted and trained for two steps without weights",
        "a result or one line each",
    ),
    28: (
        "2,000 random chains of layers, rearrangements and crops in one dimension, 2,000 in two",
        "each field that is known is the support of the gradient",
    ),
}
