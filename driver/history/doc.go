// Package history keeps the last definitions of networks on disk: one file a
// definition, in a directory a network, so that what one more change costs does not
// depend on those before.
package history
