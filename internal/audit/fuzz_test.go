package audit

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzConfig audits a pool whose MachineConfig writes a file that rules look at: registries.conf,
// storage.conf, what configures CRI-O, kubelet and NetworkManager.
func FuzzConfig(f *testing.F) {
	names := []string{
		storageConf, kubeletConf, "/etc/containers/registries.conf", crioConfDir + "x.conf", networkDir + "x.nmconnection",
	}
	for i, content := range []string{
		"[storage]\ngraphroot = '/a'\n[storage.options]\nadditionalimagestores = ['/a/b']\n",
		"kind: KubeletConfiguration\nimagePullCredentialsVerificationPolicy: AlwaysVerify\n",
		"[[registry]]\nprefix = 'a.b'\n[[registry.mirror]]\nlocation = 'localhost:5000'\n",
		"[crio.image]\npinned_images = ['a']\n",
		"[ipv4]\ndns=1.2.3.4\n",
	} {
		f.Add(uint8(i), []byte(content))
		for _, each := range []string{"[", "a.", "[[a]]\n", "- \n", "{},", "dns=1\n"} {
			f.Add(uint8(i), memtest.Repeat(256<<10, content+"a = ", each, ""))
		}
	}
	pool, err := kubeobject.Parse([]byte(`{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfigPool",`+
		`"metadata":{"name":"worker"},"spec":{"configuration":{"name":"x"}}}`), "", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		path, err := json.Marshal(names[int(which)%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		config, err := kubeobject.Parse([]byte(`{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfig","metadata":{"name":"x"},`+
			`"spec":{"config":{"storage":{"files":[{"path":`+string(path)+`,"contents":{"source":"data:;base64,`+
			base64.StdEncoding.EncodeToString(content)+`"}}]}}}}`), "", "")
		if err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 64*int64(len(content))+96<<20, func() {
			var r Recorder
			r.Add(config)
			r.Add(pool)
			Run(r.Snapshot(nil))
		})
	})
}
