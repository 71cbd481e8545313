"""XFRM, the kernel's IPsec, over netlink: values of `mip6.xfrm` to messages and back, requests, announcements."""
