"""``policy_test.c``: a program that calls the policy on the target and compares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdrlprune.deployment.c_source.files import HEADER_FILE, Parameter
from tfdrlprune.deployment.c_source.texts import array, number
from tfdrlprune.specs import Array

TEST_FILE = "policy_test.c"

_MAIN = """\
int main(void)
{{
    int wrong = 0;
    for (int row = 0; row < COUNT; row++) {{
        float action[POLICY_ACTION_SIZE], outputs[POLICY_OUTPUTS_SIZE];
        int bad = 0;
        policy_outputs({arguments}{after}, outputs);
        policy_action({arguments}{in_place}, action);
        for (int i = 0; i < POLICY_OUTPUTS_SIZE; i++) {{
            const float wanted = wanted_outputs[row * POLICY_OUTPUTS_SIZE + i];
            bad |= !(fabsf(outputs[i] - wanted) <= {tolerance});
        }}
        for (int i = 0; i < POLICY_ACTION_SIZE; i++) {{
            const float wanted = wanted_actions[row * POLICY_ACTION_SIZE + i];
            bad |= !(fabsf(action[i] - wanted) <= {action_tolerance});
        }}
        if (bad) {{
            printf("vector %d differs: outputs[0] is %g, not %g; action[0] is %g, not %g\\n", row,
                   (double)outputs[0], (double)wanted_outputs[row * POLICY_OUTPUTS_SIZE],
                   (double)action[0], (double)wanted_actions[row * POLICY_ACTION_SIZE]);
        }}
        wrong += bad;
    }}
    printf("%d of %d test vectors agree\\n", COUNT - wrong, COUNT);
    return wrong != 0;
}}
"""


def self_test(
    comment: str,
    inputs: Sequence[Parameter],
    observations: Sequence[Array],
    wanted: tuple[Array, Array],
    tolerances: tuple[float, float],
) -> bytes:
    """Returns the program's source.

    Args:
        comment: where it comes from.
        inputs: of the policy's functions; with a state the rows are one episode.
        observations: leaves [count, *shape], in the order of the inputs.
        wanted: outputs [count, n] and actions [count, ...].
        tolerances: how far an output, and an action, may be off.
    """
    count = len(wanted[0])
    arrays, arguments = [], []
    for leaf, each in zip(observations, inputs, strict=False):
        arrays.append(array(f"given_{each.name}", np.ascontiguousarray(leaf)))
        arguments.append(f"given_{each.name} + row * {each.size}")
    recurrent = len(inputs) > len(observations)
    if recurrent:
        arrays.append(f"static float state[{inputs[-1].size}], dropped[{inputs[-1].size}];\n")
    arrays.append(array("wanted_outputs", wanted[0].astype(np.float32)))
    arrays.append(array("wanted_actions", wanted[1].astype(np.float32)))
    main = _MAIN.format(
        arguments=", ".join(arguments),
        after=", state, dropped" if recurrent else "",
        in_place=", state, state" if recurrent else "",
        tolerance=number(tolerances[0]),
        action_tolerance=number(tolerances[1]),
    )
    parts = [
        comment,
        f'#include "{HEADER_FILE}"\n\n#include <math.h>\n#include <stdio.h>\n',
        f"#define ALIGNED\n#define COUNT {count}\n",
        *arrays,
        main,
    ]
    return "\n".join(parts).encode()
