package imagefile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/pull"
)

const (
	storedManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`
	storedSig      = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}`
	storedLayer    = "a layer"
)

func stored1(content string) []string {
	return []string{storedPath(digest.FromString(content)), content}
}

func tagged1(repository, tag, means string) []string {
	return []string{repositories + repository + "/_manifests/tags/" + tag + "/current/link", means}
}

// storageFiles are those of a registry with an image under three tags, and its signature.
func storageFiles() (all []string) {
	d := digest.FromString(storedManifest)
	for _, f := range [][]string{
		tagged1("acme/app", "1.2", d.String()), tagged1("openshift/release-images", "4.20.1-x86_64", d.String()),
		tagged1("registry.example.com/kept/host", "1", d.String()+"\n"), tagged1("acme/app", "odd", "sha256:../../etc"),
		tagged1("acme/app", "sha256-"+d.Encoded()+".sig", digest.FromString(storedSig).String()),
		stored1(storedManifest), stored1(storedSig), stored1(storedLayer),
		{"docker/registry/v2/repositories/acme/app/_layers/sha256/" + d.Encoded() + "/link", d.String(), "working-dir/logs/x.log", "text", "isc_2026", "kind: x"},
	} {
		all = append(all, f...)
	}
	return all
}

// inDir writes files as they are in a directory.
func inDir(t *testing.T, files []string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestStorage: the images of a registry's directory, of an archive of oc-mirror, and of archives in which one image
// is divided, by digest and by tag.
func TestStorage(t *testing.T) {
	t.Parallel()
	all := storageFiles()
	half := len(all) / 4 * 2
	for name, dir := range map[string]string{
		"directory": inDir(t, all),
		"together":  inDir(t, []string{"mirror_000001.tar", string(archive(t, all[:half]...)), "mirror_000002.tar", string(archive(t, all[half:]...)), "working-dir/x", ""}),
		"archives":  inDir(t, []string{"mirror_000001.tar", string(archive(t, all[:half]...)), "mirror_000002.tar", string(archive(t, all[half:]...)), "working-dir/x", ""}),
		"archive":   filepath.Join(inDir(t, []string{"a.tar", string(archive(t, all...))}), "a.tar"),
	} {
		f, err := Open(t.Context(), dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if list, problems := f.List(); list.Len() > 0 || len(problems) > 0 || !f.NamesNone() {
			t.Errorf("%s: it names %d images, %v", name, list.Len(), problems)
		}
		s := &Source{Files: []*File{f}, Registry: noRegistry{}}
		if name == "archives" { // and one by one
			s.Files = nil
			for _, one := range []string{"mirror_000001.tar", "mirror_000002.tar"} {
				f, err := Open(t.Context(), filepath.Join(dir, one))
				if err != nil {
					t.Fatal(err)
				}
				s.Files = append(s.Files, f)
			}
		}
		d := digest.FromString(storedManifest)
		for ref, want := range map[string]error{
			"quay.io/acme/app:1.2":                                    nil,
			"docker.io/acme/app@" + d.String():                        nil,
			"quay.io/openshift-release-dev/ocp-release:4.20.1-x86_64": nil,
			"registry.example.com/kept/host:1":                        nil,
			"quay.io/acme/app:odd":                                    errNoRegistry,
			"quay.io/acme/app:2":                                      errNoRegistry,
			"quay.io/acme/app@" + digest.FromString("x").String():     errNoRegistry,
		} {
			m, err := s.Manifest(t.Context(), ref)
			if !errors.Is(err, want) || err == nil && m.Digest != d {
				t.Errorf("%s: %s: %s, %v, want %v", name, ref, m.Digest, err, want)
			}
			if desc, err := s.Head(t.Context(), ref); !errors.Is(err, want) || err == nil && desc.Digest != d {
				t.Errorf("%s: head of %s: %s, %v", name, ref, desc.Digest, err)
			}
		}
		ref := "quay.io/acme/app@" + d.String()
		r, err := s.Blob(t.Context(), ref, digest.FromString(storedLayer), int64(len(storedLayer)), 2)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(r); string(got) != storedLayer[2:] || err != nil {
			t.Errorf("%s: blob %q, %v", name, got, err)
		}
		if _, err := s.Blob(t.Context(), ref, digest.FromString("x"), 1, 0); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "archives of earlier runs") {
			t.Errorf("%s: a blob that is not there: %v", name, err)
		}
		if m, err := s.Attached(t.Context(), ref, "sha256-"+d.Encoded()+".sig"); err != nil || m.Digest != digest.FromString(storedSig) {
			t.Errorf("%s: signature %s, %v", name, m.Digest, err)
		}
		if _, err := s.Attached(t.Context(), ref, "sha256-"+d.Encoded()+".att"); !errors.Is(err, pull.ErrNotFound) {
			t.Errorf("%s: an attestation: %v", name, err)
		}
	}
}

// TestStorageDamaged: other bytes than a digest says, links, and archives that are something else.
func TestStorageDamaged(t *testing.T) {
	t.Parallel()
	d := digest.FromString(storedManifest)
	f, err := Open(t.Context(), inDir(t, []string{storedPath(d), "other", "docker/registry/v2/repositories/x", ""}))
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{Files: []*File{f}, Registry: noRegistry{}}
	if _, err := s.Manifest(t.Context(), "quay.io/a/b@"+d.String()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a manifest of other bytes: %v", err)
	}
	dir := inDir(t, []string{"docker/registry/v2/repositories/x", "", "secret", storedManifest})
	blob := filepath.Join(dir, storedPath(d))
	if err := os.MkdirAll(filepath.Dir(blob), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../../../../../secret", blob); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	s.Files[0] = f
	if m, err := s.Manifest(t.Context(), "quay.io/a/b@"+d.String()); err == nil {
		t.Errorf("a link was followed: %s", m.Bytes)
	}
	if _, err := Open(t.Context(), inDir(t, []string{"mirror_seq1_000000.tar", string(archive(t, "blobs/x", "y"))})); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "no archive of oc-mirror v2") {
		t.Errorf("an archive of oc-mirror v1: %v", err)
	}
	cut := archive(t, storageFiles()...)
	if _, err := Open(t.Context(), inDir(t, []string{"mirror_000001.tar", string(cut[:522])})); !errors.Is(err, ErrDamaged) {
		t.Errorf("an archive that is cut off: %v", err)
	}
}

var errNoRegistry = errors.New("no registry")

// noRegistry is one that cannot be reached.
type noRegistry struct{}

func (noRegistry) Manifest(context.Context, string) (pull.Manifest, error) {
	return pull.Manifest{}, errNoRegistry
}

func (noRegistry) Blob(context.Context, string, digest.Digest, int64, int64) (io.ReadCloser, error) {
	return nil, errNoRegistry
}

func (noRegistry) Reject(digest.Digest) {}

func (noRegistry) BlobSize(context.Context, string, digest.Digest) (int64, error) {
	return 0, errNoRegistry
}

func (noRegistry) Head(context.Context, string) (v1.Descriptor, error) {
	return v1.Descriptor{}, errNoRegistry
}

func (noRegistry) Attached(context.Context, string, string) (pull.Manifest, error) {
	return pull.Manifest{}, errNoRegistry
}

func (noRegistry) Referrers(context.Context, string) ([]v1.Descriptor, error) {
	return nil, errNoRegistry
}

func (noRegistry) Lookaside(context.Context, string) ([][]byte, error) { return nil, errNoRegistry }
