"""Propositions, slips and unstated choices of Polar-FFA's appendices."""
