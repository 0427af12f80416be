//go:build corpus

package corpus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/signature"
	imagestorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"

	"github.com/nodeseal/nodeseal/bundle/archive"
	answering "github.com/nodeseal/nodeseal/internal/answer"
	"github.com/nodeseal/nodeseal/internal/answer/repopath"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// literal is text that stands as it is.
func literal(s string) json.RawMessage { return json.RawMessage(s) }

// hostOf returns the host of the registry that serves the draft.
func hostOf(d *draft) string { return string(d.shelf["host"].body) }

// stricter says why we refuse an image that the library takes; "" for all others.
func stricter(name string) string {
	return map[string]string{
		"manifests: a layer by sha512":             "bundles have sha256 only",
		"configurations: another rootfs.type":      "it is no container image by the specification",
		"configurations: no rootfs":                "without diff IDs no layer can be proven",
		"configurations: no diff IDs":              "without diff IDs no layer can be proven",
		"sizes of layers: -1":                      "a size that no layer has",
		"sizes of layers: 2^62":                    "a size that no layer has",
		"lists: entry with the other mediaType":    "a manifest that is two things is refused (CVE-2021-41190)",
		"types of layers: text/plain, gzip inside": "a type of no layer: an artifact",
		"types of layers: application/vnd.oci.image.layer.v1.tar+gzip+encrypted, gzip inside": "an encrypted layer cannot be unpacked by nodes",
	}[name]
}

// TestImages gives every image of the corpus, out of a registry, to the library and to
// `bundle`. What was bundled is imported, the store verifies clean, and with the
// registry gone the library pulls each of them out of what `serve` answers,
// with this store beside its own, and asks for no layer.
func TestImages(t *testing.T) {
	testenv.NeedRoot(t)
	shelf := make(shelf)
	registry := httptest.NewServer(shelf)
	defer registry.Close()
	host := strings.TrimPrefix(registry.URL, "http://")
	shelf["host"] = answer{body: []byte(host)}
	conf := file600(t, "registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host))
	client, err := pull.New(pull.Options{RegistriesConf: conf, AuthFile: file600(t, "auth.json", "{}"), CertDir: t.TempDir(), Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	lib := library(t)
	var rows []row
	var list strings.Builder
	node := make(map[string]string) // references that the node pulls, and their cases
	work := filepath.Join(t.TempDir(), "work")
	artifacts := make(map[string]bool) // references of those
	bundleOf := func(list string) (string, bool, error) {
		out := filepath.Join(t.TempDir(), "out.tar.zst")
		images, err := file.Parse(strings.NewReader(list), "list")
		if err != nil {
			return out, false, err
		}
		res, err := mirror.Run(t.Context(), images, client, mirror.Options{Output: out, Work: work, Level: 1})
		return out, err == nil && res.Inventory.HasArtifact(), err
	}
	for i, c := range images(t) {
		full := c.group + ": " + c.name
		repo := fmt.Sprintf("corpus/image-%d", i)
		c.build(newDraft(t, shelf, repo))
		ref := host + "/" + repo + ":v1"
		_, artifact, ours := bundleOf(ref + "\n")
		artifacts[ref] = artifact
		theirs := pullInto(t, lib, conf, ref)
		if artifact && theirs != nil {
			theirs = pullArtifact(t, conf, ref)
		}
		r := row{group: c.group, name: c.name, library: verdict(theirs), ours: verdict(ours)}
		switch {
		case theirs == nil && ours != nil:
			if r.note = stricter(full); r.note == "" {
				t.Errorf("%s: the library takes it, we refuse it: %v", full, ours)
			}
		case theirs != nil && ours == nil:
			r.note = "the library takes it from serve; from this registry: " + why(theirs)
		case ours != nil:
			r.note = why(ours)
		case artifact:
			r.note = "as an artifact"
		}
		rows = append(rows, r)
		if ours == nil {
			list.WriteString(ref + "\n")
			node[ref] = full
		}
	}
	path, _, err := bundleOf(list.String())
	if err != nil {
		t.Fatal(err)
	}
	registry.Close()
	f, err := archive.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	target := filepath.Join(t.TempDir(), "store")
	if _, err := dir.Import(t.Context(), f, target, store.ImportOptions{Jobs: 2, Architecture: "amd64"}); err != nil {
		t.Fatal(err)
	}
	rep, err := verify.Store(t.Context(), target, verify.Options{})
	clean(t, rep, err, nil)
	var layers int
	handler := answering.New(answering.Options{Stores: []string{target}, Now: time.Now})
	serve := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &watched{ResponseWriter: w}
		handler.ServeHTTP(rec, r)
		if rec.status >= 400 && strings.Contains(r.URL.Path, "/blobs/") {
			layers++
			t.Logf("%s: %d", r.URL.Path, rec.status)
		}
	}))
	defer serve.Close()
	nodeConf := file600(t, "registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n",
		host, strings.TrimPrefix(serve.URL, "http://")+"/"+repopath.Host(host)))
	nodeLib := library(t, "overlay.imagestore="+target)
	for ref, full := range node {
		err := error(nil)
		if artifacts[ref] {
			err = pullArtifact(t, nodeConf, ref)
		} else {
			err = pullInto(t, nodeLib, nodeConf, ref)
		}
		if err != nil {
			t.Errorf("%s: the node does not get it from serve: %v", full, err)
		}
	}
	if layers > 0 {
		t.Errorf("%d layers were asked for", layers)
	}
	if !testing.Short() {
		holdPage(t, imagesPage, imagesHead, "image", "containers/image", rows)
	}
}

const (
	imagesPage = "../../../docs/compatibility-images.md"
	imagesHead = `# Which images are taken

This page is generated by the tests of internal/store/corpus (make corpus), which need root.
Every image is in a registry, and is given to containers/image (the library of CRI-O, podman and skopeo), which pulls it
into a store, and to ` + "`bundle`" + `. What was bundled is imported, and the store verifies clean. Then the registry is
gone, and the library pulls every image that was bundled out of what ` + "`nodeseal serve`" + ` answers, as CRI-O does with
` + "`imagePullPolicy: Always`" + `: it finds every layer in the store. What is taken "as an artifact" it copies into an OCI layout, as CRI-O does. The
test fails otherwise.
`
)

// watched notes the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func file600(t *testing.T, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pullInto has the library pull ref into its store, as CRI-O does.
func pullInto(t *testing.T, lib storage.Store, conf, ref string) error {
	t.Helper()
	to, err := imagestorage.Transport.ParseStoreReference(lib, ref)
	if err != nil {
		t.Fatal(err)
	}
	return pullTo(t, conf, ref, to)
}

// pullTo has the library pull ref.
func pullTo(t *testing.T, conf, ref string, to types.ImageReference) error {
	t.Helper()
	policy, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		t.Fatal(err)
	}
	defer policy.Destroy()
	from, err := docker.ParseReference("//" + ref)
	if err != nil {
		t.Fatal(err)
	}
	sys := &types.SystemContext{
		ArchitectureChoice: "amd64", OSChoice: "linux", SystemRegistriesConfPath: conf, SystemRegistriesConfDirPath: filepath.Dir(conf) + "/none",
		BlobInfoCacheDir: t.TempDir(), AuthFilePath: file600(t, "auth.json", "{}"), RegistriesDirPath: t.TempDir(),
	}
	_, err = copy.Image(t.Context(), policy, to, from, &copy.Options{SourceCtx: sys, DestinationCtx: sys, MaxParallelDownloads: 1})
	return err
}

// pullArtifact has the library pull ref into an OCI layout, as CRI-O does with artifacts that
// it cannot pull as an image.
func pullArtifact(t *testing.T, conf, ref string) error {
	t.Helper()
	to, err := layout.NewReference(filepath.Join(t.TempDir(), "artifacts"), ref)
	if err != nil {
		t.Fatal(err)
	}
	return pullTo(t, conf, ref, to)
}

// why is reason without the names of this run.
func why(err error) string {
	var image *mirror.ImageError
	if errors.As(err, &image) {
		err = image.Err
	}
	run := regexp.MustCompile(`(docker://)?127\.0\.0\.1:\d+/corpus/image-\d+`)
	digests := regexp.MustCompile(`(sha256|sha512):[0-9a-f]{8}[0-9a-f]*`)
	text := run.ReplaceAllString(err.Error(), "IMAGE")
	text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "REGISTRY")
	return reason(errors.New(digests.ReplaceAllString(text, "$1:...")))
}
