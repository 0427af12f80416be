// Package pagetest has inventories for tests of pages, and what must be right of every page.
package pagetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// Hostile is a name that would be more than text in a page that did not escape it.
const Hostile = `a"><script>alert(1)</script><img src=x onerror=alert(1)>&lt;` + "\x1b[31m\u202eevil"

// below returns a number from 0 to n-1 that nothing but its arguments chooses.
func below(n int64, by ...any) int64 {
	sum := sha256.Sum256(fmt.Append(nil, by...))
	return int64(binary.BigEndian.Uint64(sum[:])>>1) % n
}

// Inventory has images with some layers each, of sizes as real ones have them: half of the layers are shared. The same
// numbers give the same inventory.
func Inventory(images, layers int, seed uint64) *bundle.Inventory {
	inv := &bundle.Inventory{Layers: bundle.Expanded, Release: &bundle.Release{Version: fmt.Sprintf("4.18.%d", seed)}}
	sizes := make(map[digest.Digest]int64)
	add := func(img *bundle.Image, name string, size int64) {
		id := digest.FromString(name)
		if _, ok := sizes[id]; !ok {
			sizes[id] = size
			inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: id, Size: size, Kind: bundle.KindLayer})
		}
		img.Layers = append(img.Layers, bundle.Layer{Digest: digest.FromString("gz " + name), Size: sizes[id] / 3, DiffID: id, DiffSize: sizes[id]})
	}
	for i := range images {
		id := digest.FromString(fmt.Sprint("image ", seed, i))
		img := bundle.Image{
			Ref:    "quay.io/openshift-release-dev/ocp-v4.0-art-dev@" + id.String(),
			Digest: id, Config: bundle.Config{Digest: digest.FromString("config " + id.String())},
			From: []bundle.Origin{{Source: "release", Name: inv.Release.Version + " " + component(i)}},
		}
		if i == 1 {
			img.Role = bundle.RoleOS
		}
		for j := range layers {
			if j < layers/2 {
				add(&img, fmt.Sprint("base ", j, i%(3*j+1)), 1<<20*(200/int64(j+1))+below(1<<20, seed, i, j))
				continue
			}
			size := below(1<<(16+below(12, seed, j, i)), seed, i, j)
			if i == 1 {
				size += 900 << 20 / int64(layers)
			}
			add(&img, fmt.Sprint("own ", seed%2*uint64(i%3), i, j), size)
		}
		inv.Images = append(inv.Images, img)
	}
	return inv
}

// component is the name of an image.
func component(i int) string {
	names := []string{"aws-ebs-csi-driver", "rhel-coreos", "etcd", "cli", "hyperkube", "ovn-kubernetes", "console", "prometheus", "machine-config-operator",
		"tests", "installer", "haproxy-router", "oauth-server", "must-gather", "ironic", "azure-file-csi-driver-operator", "network-tools", "operator-lifecycle-manager"}
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s-%d", names[i%len(names)], i/len(names))
}

// Hold holds that a page refers to nothing but itself, has a policy that names its style and script by
// their digests, and has nothing of Hostile as it is.
func Hold(t *testing.T, text string) {
	t.Helper()
	value, attribute := regexp.MustCompile(`"[^"]*"`), regexp.MustCompile(`(?i)\s(src|style|on[a-z]+)\s*=`)
	for _, tag := range regexp.MustCompile(`<[a-zA-Z][^>]*>`).FindAllString(text, -1) {
		if attribute.MatchString(value.ReplaceAllString(tag, `""`)) || strings.Contains(tag, " href=") && !strings.Contains(tag, ` href="#`) {
			t.Errorf("%s refers to something else, or has a script or a style that the policy does not name", tag)
		}
	}
	for _, bad := range []string{"<script>alert", "\x1b", "\u202e", "<img"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	policy := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]+)"`).FindStringSubmatch(text)
	if policy == nil || !strings.HasPrefix(policy[1], "default-src 'none';") || strings.Contains(policy[1], "unsafe") {
		t.Fatalf("the policy is %q", policy)
	}
	for _, element := range []string{"style", "script"} {
		for _, m := range regexp.MustCompile(`(?s)<`+element+`>(.*?)</`+element+`>`).FindAllStringSubmatch(text, -1) {
			if outside := regexp.MustCompile(`url\(|@import|https?:`).FindString(m[1]); outside != "" {
				t.Errorf("the %s has %s", element, outside)
			}
			sum := sha256.Sum256([]byte(m[1]))
			if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy[1], want) {
				t.Errorf("the policy does not name the %s %s", element, want)
			}
		}
	}
}
