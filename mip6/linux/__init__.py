"""The kernel seam: netlink, nftables, XFRM, Mobility Header sockets."""
