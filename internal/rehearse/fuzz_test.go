package rehearse

import (
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzPulls: programs write any message to the journal. What is kept of them is bounded, and does
// not depend on how the text is cut.
func FuzzPulls(f *testing.F) {
	const entry = `{"MESSAGE":"msg=\"Pulling image: quay.io/a/b\" id=11111111-1111-1111-1111-111111111111","_SYSTEMD_UNIT":"crio.service"}` + "\n"
	f.Add([]byte(entry), 7)
	f.Add([]byte(`{"MESSAGE":"Trying to pull quay.io/a/b...","_SYSTEMD_UNIT":"x.service"}`+"\n"), 0)
	f.Add([]byte(`{"MESSAGE":[1,2],"_SYSTEMD_UNIT":"x.service"}`+"\n"), 3)
	f.Add([]byte(`{"MESSAGE":"\"Failed to pull image\" image=\"a\"","_SYSTEMD_UNIT":"kubelet.service"}`+"\n"), 1)
	f.Add(memtest.Repeat(2<<20, "", "x", "\n"), 1<<20)
	f.Add(memtest.Repeat(4<<20, "", entry, ""), 100)
	f.Add(memtest.Repeat(maxLine, `{"MESSAGE":[`, "[],", "[]]}\n"), 0)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		cut = min(max(cut, 0), len(data))
		whole, parts := newPulls(), newPulls()
		memtest.Hold(t, 4*int64(len(data))+64<<20, func() {
			for _, text := range [][]byte{data[:cut], data[cut:]} {
				if _, err := parts.Write(text); err != nil {
					t.Fatal(err)
				}
			}
		})
		if _, err := whole.Write(data); err != nil {
			t.Fatal(err)
		}
		a, b := whole.sorted(), parts.sorted()
		if len(a) != len(b) || len(a) > maxImages || len(whole.request) > maxImages {
			t.Fatalf("%d images, and %d in parts", len(a), len(b))
		}
		for i := range a {
			if a[i].Image != b[i].Image || a[i].Asked < 0 || a[i].Got < 0 {
				t.Errorf("%+v, and %+v in parts", a[i], b[i])
			}
		}
	})
}

// FuzzLists: what nft and ip print is read whatever it is.
func FuzzLists(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"set":{"name":"to4_1","elem":[{"elem":{"val":{"concat":["192.0.2.1","tcp",443]},"counter":{"packets":1}}}]}}]}`))
	f.Add([]byte(`{"nftables":[{"counter":{"name":"other_1","packets":3}}]}`))
	f.Add([]byte(`[{"dst":"10.128.0.0/14","gateway":"169.254.0.1","dev":"br-ex"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := parseCounts(data, []string{"crio.service"})
		if err != nil && found != nil {
			t.Errorf("%d, %v", len(found), err)
		}
		for _, a := range clusterRoutes(data) {
			if !a.Address.IsValid() || a.Address.Bits() == 0 {
				t.Errorf("%q allows %v", data, a.Address)
			}
		}
	})
}
