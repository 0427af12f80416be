package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/parts"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// reads are the commands that read a bundle, and how: BUNDLE, or the bundle's INVENTORY alone,
// or the directory STICK that it is in; in PARTS; IMAGE is the image file that was made of it, and
// POINT the directory where that would be mounted; STORE has its images, OUT is new. Each
// ends with exit code 0 for a bundle that is taken, but for those of takenEnds.
var reads = map[string][]string{
	"audit": {"--objects OBJECTS --bundle BUNDLE"}, "bundle": {"--store STORE -o OUT/b.tar.zst --since BUNDLE", "--store STORE -o OUT/b.tar.zst --since INVENTORY", "--store STORE -o OUT/b.tar.zst --delta layers --since POINT"},
	"carry": {"OUT --bundle BUNDLE"}, "diff": {"BUNDLE STORE", "STORE BUNDLE", "STORE INVENTORY", "IMAGE STORE", "STORE IMAGE"},
	"inspect": {"BUNDLE", "IMAGE", "POINT"},
	"import":  {"BUNDLE --no-seal --store OUT/s", "IMAGE --dry-run --root OUT/slots"}, "import-stick": {"STICK --node n --dry-run --root OUT/slots"}, "join": {"PARTS -o OUT"},
	"push": {"BUNDLE 127.0.0.1:9 --recompress --exclude *"}, "reseal": {"BUNDLE --dry-run --root OUT/slots"}, "split": {"BUNDLE --size 64KiB -o OUT"},
	"verify":     {"BUNDLE", "IMAGE", "POINT", "DAMAGED --dry-run --repair BUNDLE"},
	"config all": {"--pool worker --ocp-version 4.18 -o OUT/c --bundle BUNDLE"}, "config baked": {"--image /x.erofs --bundle BUNDLE"},
	"config install":        {"--flavor agent --ocp-version 4.20.4 --key /etc/nodeseal/bundle.pub -o OUT/d --bundle BUNDLE"},
	"config machineconfig":  {"--pool worker --ocp-version 4.18 --bundle BUNDLE"},
	"config pinnedimageset": {"--pool worker --ocp-version 4.20.4 --bundle BUNDLE"},
	"config registries":     {"--bundle BUNDLE"}, "config signatures": {"--bundle BUNDLE"}, "config units": {"--bundle BUNDLE"},
}

// takenEnds are commands that have no use for this bundle, which is told only after it was taken.
var takenEnds = map[string]int{"push": exitPrecondition, "config signatures": exitUsage, "config install": exitDamaged}

// readsNone are the commands that read no bundle, or one that they made (demo) or sign (sign).
var readsNone = []string{
	"clean", "completion bash", "completion fish", "completion powershell", "completion zsh", "config containerruntimeconfig", "config daemonset",
	"config nodedisruptionpolicy", "config storage.conf", "demo", "help", "list", "man", "mount", "rehearse", "report", "retire", "seal", "serve", "sign", "status",
	"umount", "unseal", "version",
}

// TestEveryCommandIsKnown holds that the tables above have every command, and every flag that
// names a bundle. Bundles of --base need no signature: each of their layers is proven by its diff ID.
func TestEveryCommandIsKnown(t *testing.T) {
	t.Parallel()
	root := newRootCommand(&app{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		name := strings.TrimPrefix(cmd.CommandPath(), "nodeseal ")
		if cmd.HasSubCommands() || cmd.Hidden {
			return
		}
		if (reads[name] == nil) != slices.Contains(readsNone, name) {
			t.Errorf("%s: add it to reads, if it opens a bundle, or else to readsNone", name)
		}
		named := reads[name] != nil && strings.Contains(cmd.Use, "BUNDLE")
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			what, _ := pflag.UnquoteUsage(f)
			if f.Name == "base" || what != "BUNDLE" && !slices.Contains([]string{"bundle", "since", "repair"}, f.Name) {
				return
			}
			named = true
			if !strings.Contains(strings.Join(reads[name], " "), "--"+f.Name+" ") {
				t.Errorf("%s --%s is in no line of reads", name, f.Name)
			}
		})
		if named && (cmd.Flags().Lookup("key") == nil && !strings.HasPrefix(name, "config ") || cmd.Flags().Lookup("insecure-no-key") == nil) {
			t.Errorf("%s takes a bundle, and lacks --key or --insecure-no-key", name)
		}
	}
	walk(root)
}

// inNamespace is the environment variable of the run of TestEveryBundleIsTrusted that has an /etc of its own.
const inNamespace = "NODESEAL_TEST_NODE"

// TestEveryBundleIsTrusted has a node with a key, and every command that reads a bundle: it
// refuses one without a signature, or with another key's, unless that is waived by the flag.
func TestEveryBundleIsTrusted(t *testing.T) {
	testenv.NeedRoot(t)
	if os.Getenv(inNamespace) == "" {
		t.Parallel()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	key, public := keyPair(t)
	other, _ := keyPair(t)
	n := trustedNode{dir: t.TempDir(), src: storetest.NewLies(t)}
	n.bundles(t, map[string]*ecdsa.PrivateKey{"unsigned": nil, "another's": other, "signed": key, "altered": key})
	n.alter(t, "altered")
	if err := syscall.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/etc/nodeseal", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/etc/nodeseal/bundle.pub", public, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, lines := range reads {
		for _, line := range lines {
			t.Run(name+" "+line, func(t *testing.T) {
				for _, of := range []string{"unsigned", "another's"} {
					want := exitDamaged
					if name == "carry" && of == "unsigned" {
						want = exitPrecondition // on the stick it would be of no use
					}
					if code, said := n.run(t, of, name, line); code != want || !strings.Contains(said, "signature does not match") && !strings.Contains(said, "not signed") {
						t.Errorf("%s: exit code %d, want %d\n%s", of, code, want, said)
					}
					if code, said := n.run(t, of, name, line+" --insecure-no-key"); code != takenEnds[name] || strings.Contains(said, "signature does not match") {
						t.Errorf("%s, with the flag: exit code %d\n%s", of, code, said)
					}
				}
				if code, said := n.run(t, "altered", name, line); hasImage.MatchString(line) && name != "import" && (code != exitDamaged || !strings.Contains(said, "has the digest")) {
					t.Errorf("an image with another content: exit code %d\n%s", code, said)
				}
				if code, said := n.run(t, "signed", name, line); code != takenEnds[name] || strings.Contains(said, "signature does not match") {
					t.Errorf("signed: exit code %d\n%s", code, said)
				}
			})
		}
	}
}

func keyPair(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// trustedNode has the same bundle in directories, by who signed it.
type trustedNode struct {
	dir string
	src *storetest.Source
}

func (n *trustedNode) path(of, name string) string { return filepath.Join(n.dir, of, name) }

// bundles writes the bundles, and their inventories alone, each with its signature, parts of each, and a store.
func (n *trustedNode) bundles(t *testing.T, keys map[string]*ecdsa.PrivateKey) {
	t.Helper()
	raw := n.src.RawInventory()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for of, key := range keys {
		check(os.MkdirAll(n.path(of, "parts"), 0o755))
		n.src.WriteRaw(t, n.path(of, "b.tar.zst"), raw)
		check(os.WriteFile(n.path(of, "inventory.json"), raw, 0o600))
		if key != nil {
			sig, err := signature.Sign(raw, key)
			check(err)
			check(os.WriteFile(n.path(of, "b.tar.zst.sig"), sig, 0o600))
			check(os.WriteFile(n.path(of, "inventory.json.sig"), sig, 0o600))
		}
		n.image(t, of, key)
		_, err := parts.Split(t.Context(), parts.Options{Bundle: n.path(of, "b.tar.zst"), Dir: n.path(of, "parts"), Trust: trust.Bundle{Insecure: true}}, minSplit)
		check(err)
	}
	check(os.WriteFile(filepath.Join(n.dir, "objects"), []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}`), 0o600))
	if code, _, said := nodeseal("import", n.path("signed", "b.tar.zst"), "--no-seal", "--insecure-no-key", "--store", filepath.Join(n.dir, "store")); code != exitDone {
		t.Fatal(said)
	}
}

// hasImage matches the lines of reads with an image file.
var hasImage = regexp.MustCompile(`IMAGE|POINT`)

// image writes the image file of a bundle, with its digest and the signature of that.
func (n *trustedNode) image(t *testing.T, of string, key *ecdsa.PrivateKey) {
	t.Helper()
	path := n.path(of, "image/x.erofs")
	if err := os.MkdirAll(n.path(of, "image/x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if code, _, said := nodeseal("import", n.path(of, "b.tar.zst"), "--insecure-no-key", "--image-out", path); code != exitDone {
		t.Fatal(said)
	}
	if key == nil {
		return
	}
	sum, err := os.ReadFile(path + ".sha256")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signature.Sign(sum, key)
	if err == nil {
		err = os.WriteFile(path+".sig", sig, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// alter changes a byte of an image file, and leaves its digest and signature as they are.
func (n *trustedNode) alter(t *testing.T, of string) {
	t.Helper()
	path := n.path(of, "image/x.erofs")
	data, err := os.ReadFile(path)
	if err == nil {
		data[len(data)/2] ^= 1
		err = os.Remove(path)
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a line of reads.
func (n *trustedNode) run(t *testing.T, of, name, line string) (code int, said string) {
	t.Helper()
	out := t.TempDir()
	words := strings.Fields(line)
	if strings.Contains(line, "DAMAGED") {
		if code, _, said := nodeseal("import", n.path("signed", "b.tar.zst"), "--no-seal", "--store", filepath.Join(out, "damaged")); code != exitDone {
			t.Fatal(said)
		}
		images, err := filepath.Glob(filepath.Join(out, "damaged/overlay-images/*/manifest"))
		if err != nil || len(images) == 0 {
			t.Fatalf("manifests: %v, %v", images, err)
		}
		if err := os.WriteFile(images[0], []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stand := strings.NewReplacer("BUNDLE", n.path(of, "b.tar.zst"), "INVENTORY", n.path(of, "inventory.json"), "STICK", n.path(of, ""), "IMAGE", n.path(of, "image/x.erofs"), "POINT", n.path(of, "image/x"),
		"PARTS", n.path(of, "parts/b.tar.zst.000"), "STORE", filepath.Join(n.dir, "store"), "OBJECTS", filepath.Join(n.dir, "objects"),
		"OUT", out, "DAMAGED", filepath.Join(out, "damaged"))
	for i := range words {
		words[i] = stand.Replace(words[i])
	}
	code, stdout, stderr := nodeseal(append(strings.Fields(name), words...)...)
	return code, stdout + stderr
}
