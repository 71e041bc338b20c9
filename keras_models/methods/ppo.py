"""A small proximal-policy agent in NumPy (Schulman et al., arXiv 1707.06347): clipped updates, a value head, Adam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLIP, ENTROPY, VALUE_WEIGHT, PASSES, RATE, HIDDEN = 0.2, 0.01, 0.5, 8, 0.02, 16


@dataclass
class Step:
    """One decision: the state, the action, and the action's probability and the value when it was taken."""

    state: np.ndarray
    action: int
    probability: float
    value: float


class Agent:
    """Policy and value share one hidden layer; the reward of an episode goes to all its steps."""

    def __init__(self, features: int, actions: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        shapes = [(features, HIDDEN), (HIDDEN, actions), (HIDDEN, 1)]
        self.weights = [self.random.normal(0, 0.3 / np.sqrt(rows), (rows, columns)) for rows, columns in shapes]
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.weights]
        self.count = 0
        self.memory: list[tuple[Step, float]] = []

    def forward(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hidden values, action probabilities and state values of (steps, features)."""
        hidden = np.tanh(states @ self.weights[0])
        logits = hidden @ self.weights[1]
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        return hidden, probabilities / probabilities.sum(axis=1, keepdims=True), (hidden @ self.weights[2])[:, 0]

    def act(self, state: np.ndarray) -> Step:
        """Draw an action."""
        _, probabilities, values = self.forward(state[None])
        action = int(self.random.choice(probabilities.shape[1], p=probabilities[0]))
        return Step(state, action, float(probabilities[0, action]), float(values[0]))

    def remember(self, steps: list[Step], reward: float) -> None:
        """Keep an episode for the next update."""
        self.memory.extend((step, reward) for step in steps)

    def update(self) -> None:
        """Several passes of the clipped objective over what was remembered, which is then forgotten."""
        states = np.stack([step.state for step, _ in self.memory])
        actions = np.asarray([step.action for step, _ in self.memory])
        old = np.asarray([step.probability for step, _ in self.memory])
        rewards = np.asarray([reward for _, reward in self.memory])
        advantages = rewards - np.asarray([step.value for step, _ in self.memory])
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-6)
        for _ in range(PASSES):
            self._descend(self.gradients(states, actions, old, advantages, rewards))
        self.memory.clear()

    def objective(
        self, states: np.ndarray, actions: np.ndarray, old: np.ndarray, advantages: np.ndarray, rewards: np.ndarray
    ) -> float:
        """The loss that `gradients` is the gradient of."""
        _, probabilities, values = self.forward(states)
        ratio = probabilities[np.arange(len(actions)), actions] / old
        policy = np.minimum(ratio * advantages, np.clip(ratio, 1 - CLIP, 1 + CLIP) * advantages)
        entropy = -(probabilities * np.log(probabilities + 1e-12)).sum(axis=1)
        return float(np.mean(-policy - ENTROPY * entropy + VALUE_WEIGHT * np.square(values - rewards)))

    def gradients(
        self, states: np.ndarray, actions: np.ndarray, old: np.ndarray, advantages: np.ndarray, rewards: np.ndarray
    ) -> list[np.ndarray]:
        """The gradient of `objective` with respect to each weight matrix."""
        count = len(actions)
        hidden, probabilities, values = self.forward(states)
        rows = np.arange(count)
        ratio = probabilities[rows, actions] / old
        clipped = np.where(advantages >= 0, ratio > 1 + CLIP, ratio < 1 - CLIP)
        chosen = np.zeros_like(probabilities)
        chosen[rows, actions] = 1.0
        weight = np.where(clipped, 0.0, -ratio * advantages)
        logits = weight[:, None] * (chosen - probabilities)
        logs = np.log(probabilities + 1e-12)
        entropy = -(probabilities * logs).sum(axis=1, keepdims=True)
        logits = (logits + ENTROPY * probabilities * (logs + entropy)) / count
        value = (2 * VALUE_WEIGHT * (values - rewards) / count)[:, None]
        inner = (logits @ self.weights[1].T + value @ self.weights[2].T) * (1 - np.square(hidden))
        return [states.T @ inner, hidden.T @ logits, hidden.T @ value]

    def _descend(self, gradients: list[np.ndarray]) -> None:
        self.count += 1
        for weight, gradient, (first, second) in zip(self.weights, gradients, self.moments, strict=True):
            first += 0.1 * (gradient - first)
            second += 0.001 * (np.square(gradient) - second)
            change = (first / (1 - 0.9**self.count)) / (np.sqrt(second / (1 - 0.999**self.count)) + 1e-8)
            weight -= RATE * change
