"""ReLeQ (arXiv 1811.01704): an agent trained by proximal policy optimization picks each layer's width from 2 to 8 bits.

An episode walks through the layers; after the last one the network is trained for a moment at the widths chosen, and
the reward of every step is that of the whole assignment, which is how the paper runs networks whose evaluation is
costly. Its agent has a recurrent layer; here the step before is part of the state instead, which few layers leave
as sufficient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_models.loop.stage import Stage, relative_score
from keras_models.methods.layerwise import dense_layers, layer_sizes, set_widths, train_reference
from keras_models.methods.ppo import Agent, Step
from keras_models.quantizers.exact import to_numpy

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
# The reward has the paper's shape, a power of either state and a floor; its accuracy power is chosen here so that a
# tenth of the bits is worth about one hundredth of the accuracy.
ACCURACY_POWER, WIDTH_POWER, THRESHOLD = 10.0, 0.2, 0.4
EPISODES_PER_UPDATE = 4


def reward(accuracy: float, quantization: float) -> float:
    """The shaped reward of the two states in [0, 1]; it falls fast with lost accuracy, slowly with more bits.

    ``accuracy``: share of the reference score kept; ``quantization``: cost as a share of that at 8 bits.
    """
    if accuracy < THRESHOLD:
        return -1.0
    return float((1.0 - quantization**WIDTH_POWER) * accuracy ** (ACCURACY_POWER / accuracy))


@dataclass
class Search:
    """One run of the agent; the model is left at the reference weights and the best widths found."""

    stage: Stage

    def __post_init__(self) -> None:
        stage = self.stage
        self.sizes = layer_sizes(stage.model)
        self.start, self.reference = train_reference(stage)
        self.spread = [float(np.std(to_numpy(layer.kernel))) for layer in dense_layers(stage.model)]
        self.seen: dict[tuple[int, ...], float] = {}

    def state(self, layer: int, chosen: list[int]) -> np.ndarray:
        """What the agent sees before it picks the width of a layer: the layer, its statistics and the cost so far."""
        count = len(self.sizes)
        bits = np.asarray([*chosen, *[8] * (count - len(chosen))])
        return np.asarray([
            1.0, layer / count, np.log10(self.sizes[layer]) / 6, self.sizes[layer] / self.sizes.sum(),
            self.spread[layer] / max(self.spread), self.cost(bits), (chosen[-1] if chosen else 8) / 8,
        ])  # fmt: skip

    def cost(self, bits: Any) -> float:
        """Weight bits moved and multiplied, as a share of 8 bits throughout."""
        return float((self.sizes * np.asarray(bits)).sum() / (8 * self.sizes.sum()))

    def accuracy(self, widths: tuple[int, ...]) -> float:
        """Share of the reference score after one short training at these widths."""
        if widths not in self.seen:
            stage = self.stage
            stage.restore(self.start)
            set_widths(stage.model, widths)
            stage.train(1, 0.5)
            self.seen[widths] = float(np.nan_to_num(relative_score(stage.task, stage.score(), self.reference)))
        return min(1.0, self.seen[widths])

    def run(self, episodes: int) -> dict[str, Any]:
        """The agent's search; returns what it found for the report."""
        agent = Agent(len(self.state(0, [])), len(WIDTHS), self.stage.seed)
        best, best_reward, rewards = tuple([8] * len(self.sizes)), -np.inf, []
        for number in range(episodes):
            steps: list[Step] = []
            chosen: list[int] = []
            for layer in range(len(self.sizes)):
                steps.append(agent.act(self.state(layer, chosen)))
                chosen.append(WIDTHS[steps[-1].action])
            value = reward(self.accuracy(tuple(chosen)), self.cost(chosen))
            rewards.append(value)
            agent.remember(steps, value)
            if (number + 1) % EPISODES_PER_UPDATE == 0:
                agent.update()
            if value > best_reward:
                best, best_reward = tuple(chosen), value
        self.stage.restore(self.start)
        set_widths(self.stage.model, best)
        return {"layer_bits": list(best), "episodes": episodes, "reward": best_reward,
                "mean_reward_first": float(np.mean(rewards[: len(rewards) // 2 or 1])),
                "mean_reward_last": float(np.mean(rewards[len(rewards) // 2 :])),
                "assignments_tried": len(self.seen)}  # fmt: skip


def search(stage: Stage) -> dict[str, Any]:
    """Pretrain at 8 bits, let the agent search and leave the model at its widths."""
    return Search(stage).run(int(stage.settings["episodes"]))
