package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// The check decides before anything of the inventory is parsed: an inventory that
// is no JSON reaches it, and its refusal is what the caller gets.
func TestTrustBeforeParsing(t *testing.T) {
	t.Parallel()
	raw := []byte("not JSON at all")
	enc, err := seekable.NewEncoder(1, 1)
	must(t, err)
	file := packed(t, enc, tarOf(t, "inventory.json", raw), seekable.FrameSize)
	refused := errors.New("refused")
	var got []byte
	check := func(data []byte) error {
		got = bytes.Clone(data)
		return refused
	}
	_, err = archive.NewReader(t.Context(), bytes.NewReader(file), int64(len(file)), archive.WithTrust(check))
	if !errors.Is(err, refused) || !bytes.Equal(got, raw) {
		t.Errorf("opened: %v; the check got %q", err, got)
	}
	_, err = archive.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), archive.VerifyOptions{Trust: check})
	if !errors.Is(err, refused) {
		t.Errorf("verified: %v", err)
	}
	// Without a seek table the bundle is read from its start: the check comes first there too.
	cut := file[:len(file)-4]
	_, err = archive.Verify(t.Context(), bytes.NewReader(cut), int64(len(cut)), archive.VerifyOptions{Trust: check})
	if !errors.Is(err, refused) {
		t.Errorf("verified without its seek table: %v", err)
	}
	for _, opts := range [][]archive.Option{nil, {archive.WithTrust(nil)}, {archive.WithTrust(func([]byte) error { return nil })}} {
		if _, err := archive.NewReader(t.Context(), bytes.NewReader(file), int64(len(file)), opts...); !errors.Is(err, bundle.ErrInventory) {
			t.Errorf("a check that believes it: %v", err)
		}
	}
}

// A bundle that was verified and is opened again must be the same one.
func TestReportSame(t *testing.T) {
	t.Parallel()
	file := writeSample(t, 1, 1000)
	rep, err := archive.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), archive.VerifyOptions{})
	must(t, err)
	must(t, rep.Same(rep.RawInventory))
	if err := rep.Same([]byte("{}")); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("another inventory: %v", err)
	}
}

// tarOf returns a tar with one member.
func tarOf(t testing.TB, name string, content []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: int64(len(content)), Format: tar.FormatUSTAR}))
	must(t, writeAll(w, content))
	must(t, w.Close())
	return buf.Bytes()
}
