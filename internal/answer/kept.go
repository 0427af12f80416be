package answer

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxKept bounds the manifests that are kept in memory, in bytes: those of a
// release and a half.
const maxKept = 2 << 20

// keptManifest is a verified manifest.
type keptManifest struct {
	data      []byte
	mediaType string
}

// kept are manifests that were asked for. It is safe for use by many goroutines;
// the zero value is empty.
type kept struct {
	mu        sync.RWMutex
	manifests map[digest.Digest]keptManifest
	size      int
}

func (k *kept) get(d digest.Digest) (keptManifest, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	m, ok := k.manifests[d]
	return m, ok
}

// put keeps m, where there is room.
func (k *kept) put(d digest.Digest, m keptManifest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.manifests[d]; ok || k.size+len(m.data) > maxKept {
		return
	}
	if k.manifests == nil {
		k.manifests = make(map[digest.Digest]keptManifest)
	}
	k.manifests[d] = m
	k.size += len(m.data)
}
