"""What ``import flow`` offers: a model as hardware in one call, designs by themselves, and what a model will cost."""
