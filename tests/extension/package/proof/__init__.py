"""Directives of somebody else, each the shape of a kind that k8sdns must have room for."""
