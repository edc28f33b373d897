"""The bridge: its plain parts here, the whole of it against the package where that can be had."""
