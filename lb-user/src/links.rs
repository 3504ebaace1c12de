//! Links of this node as the kernel reports them.
