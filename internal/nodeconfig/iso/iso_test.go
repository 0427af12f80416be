package iso

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

const add = `{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"/etc/nodeseal/bundle.pub","contents":{"source":"data:,key"},"mode":420}]},` +
	`"systemd":{"units":[{"name":"nodeseal-serve.service","enabled":true,"contents":"[Service]\nExecStart=/bin/true\n"}]}}`

// TestMerge: what the document has besides stays.
func TestMerge(t *testing.T) {
	t.Parallel()
	have := `{"ignition":{"version":"3.2.0","config":{"merge":[{"source":"data:,%7B%7D"}]}},` +
		`"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["ssh-ed25519 a<b>&c"]}]},` +
		`"storage":{"files":[{"path":"/etc/motd","contents":{"source":"data:,hello"}}],"directories":[{"path":"/srv/x"}]},` +
		`"systemd":{"units":[{"name":"agent.service","enabled":true}]}}`
	out, err := Merge([]byte(have), []byte(add))
	if err != nil {
		t.Fatal(err)
	}
	var got, was map[string]any
	if err := errors.Join(json.Unmarshal(out, &got), json.Unmarshal([]byte(have), &was)); err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{"ignition", "passwd"} {
		if !reflect.DeepEqual(got[section], was[section]) {
			t.Errorf("%s is %v, was %v", section, got[section], was[section])
		}
	}
	for _, want := range []string{
		`"files":[{"path":"/etc/motd","contents":{"source":"data:,hello"}},{"path":"/etc/nodeseal/bundle.pub"`,
		`"directories":[{"path":"/srv/x"}]`, `"units":[{"name":"agent.service","enabled":true},{"name":"nodeseal-serve.service"`, `a<b>&c`,
	} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s\nlacks %s", out, want)
		}
	}
	if _, err := Merge(out, []byte(add)); !errors.Is(err, ErrTwice) {
		t.Errorf("merged twice: %v, want ErrTwice", err)
	}
	if _, err := Merge([]byte(`{"ignition":{"version":"3.2.0"}}`), []byte(add)); err != nil {
		t.Errorf("into a document with nothing: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"ignition":{"version":"2.2.0"}}`, `{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"relative"}]}}`, "<html>"} {
		if _, err := Merge([]byte(bad), []byte(add)); !errors.Is(err, ErrIgnition) {
			t.Errorf("%q: %v, want ErrIgnition", bad, err)
		}
	}
}

// TestEmbedded reads what the area would hold, as the kernel reads an initrd.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	if err := writeCPIO(&archive, configName, []byte(add)); err != nil {
		t.Fatal(err)
	}
	data := archive.String()
	if archive.Len()%4 != 0 || !strings.HasPrefix(data, "070701") || data[110:121] != configName+"\x00" ||
		data[54:62] != fmt.Sprintf("%08x", len(add)) || data[94:102] != "0000000b" || data[124:124+len(add)] != add ||
		!strings.HasSuffix(data, "TRAILER!!!\x00\x00\x00\x00") {
		t.Errorf("not a cpio archive of %s:\n%q", configName, data)
	}
	long := make([]byte, Area)
	if _, err := rand.Read(long); err != nil {
		t.Fatal(err)
	}
	text := []byte(strings.Repeat(add, 2000))
	for name, c := range map[string]struct {
		config []byte
		fits   bool
	}{"text": {text, true}, "noise": {long, false}} {
		n, err := Embedded(c.config)
		if err != nil || (n <= Area) != c.fits {
			t.Errorf("%s of %d bytes: %d, %v", name, len(c.config), n, err)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(add))
	f.Add([]byte(`{"ignition":{"version":"3.1.0"},"storage":{"files":[]},"systemd":null}`))
	f.Add([]byte(`{"ignition":{"version":"3.2.0"},"storage":{"files":{}},"systemd":{"units":[null]}}`))
	f.Add(memtest.Repeat(1<<16, `{"ignition":{"version":"3.2.0"},"systemd":{"units":[`, `{"name":"a.service"},`, `{"name":"b.service"}]}}`))
	f.Fuzz(func(t *testing.T, have []byte) {
		memtest.Hold(t, 64*int64(len(have))+64<<20, func() {
			out, err := Merge(have, []byte(add))
			if err != nil {
				if !errors.Is(err, ErrIgnition) && !errors.Is(err, ErrTwice) {
					t.Errorf("%v", err)
				}
				return
			}
			if _, err := Merge(out, []byte(add)); !errors.Is(err, ErrTwice) {
				t.Errorf("merged twice: %v", err)
			}
		})
	})
}
