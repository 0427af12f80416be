package mirror_test

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
)

// What is kept of a work directory is all that its images need; the rest is
// given back.
func TestClean(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	o := options(t)
	_, err := mirror.Run(t.Context(), listOf(t, src.release.ImagesList()), src, o)
	must(t, err)
	var list string
	var keep []digest.Digest
	for _, img := range src.release.Images[:4] {
		list += img.Ref + "\n"
		_, d := imagelist.Split(img.Ref)
		keep = append(keep, d)
	}
	unknown := digest.FromString("unknown")
	keep = append(keep, unknown)
	dry, err := workdir.Clean(t.Context(), o.Work, keep, true)
	must(t, err)
	got, err := workdir.Clean(t.Context(), o.Work, keep, false)
	must(t, err)
	if got.Files == 0 || got.Bytes == 0 || got.Kept == 0 || got.Files != dry.Files || got.Bytes != dry.Bytes {
		t.Errorf("removed %+v, promised %+v", got, dry)
	}
	if len(got.Unknown) != 1 || got.Unknown[0] != unknown {
		t.Errorf("unknown: %v", got.Unknown)
	}
	src.served.Store(0)
	_, err = mirror.Run(t.Context(), listOf(t, list), src, o)
	must(t, err)
	if n := src.served.Load(); n != 0 {
		t.Errorf("%d bytes of what was kept were fetched again", n)
	}
	got, err = workdir.Clean(t.Context(), o.Work, nil, false)
	must(t, err)
	if got.Kept != 0 {
		t.Errorf("nothing was to be kept: %+v", got)
	}
	if _, err := workdir.Clean(t.Context(), t.TempDir(), nil, false); err == nil {
		t.Error("a directory that is no work directory was cleaned")
	}
}
