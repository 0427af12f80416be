package store_test

import (
	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
)

// A bundle is a Source.
var _ store.Source = (*bundle.Reader)(nil)
