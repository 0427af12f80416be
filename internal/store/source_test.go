package store_test

import (
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/store"
)

// A bundle is a Source.
var _ store.Source = (*archive.Reader)(nil)
