package xml

// Metadata is the <metadata> element: one child element a namespace.
type Metadata struct{}
