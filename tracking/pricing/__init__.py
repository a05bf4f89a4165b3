"""Pricing: usage x rates -> receipt. The engine is pure."""
