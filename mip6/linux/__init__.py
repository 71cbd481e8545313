"""The kernel seam: netlink, nftables, Mobility Header sockets."""
