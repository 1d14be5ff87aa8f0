"""What came over the network is kept for a while: entries, their store, and who asks it first.

`CachedAuthority` stands in the place of a remote authority. Live data never passes through here.
"""
