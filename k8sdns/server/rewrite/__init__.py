"""Rules that change questions on the way in and answers on the way out (CoreDNS plugin/rewrite)."""
