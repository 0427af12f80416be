package rehearse

import (
	"strings"
	"testing"
)

// TestFiles holds what keeps a rehearsal from harming the node: a unit starts also if it
// cannot be cut, what it pulls before its program is cut too, the end is systemd's, and the boot unit orders no unit that starts early.
func TestFiles(t *testing.T) {
	t.Parallel()
	all := files(&Plan{Units: []string{crio, "early.service"}, Rules: "rules"})
	for name, want := range map[string]string{
		"system/crio.service.d/" + dropIn:  "[Service]\nExecCondition=-+/usr/bin/timeout 20 /bin/sh /run/nodeseal/rehearse/rehearse.sh attach %n\n",
		"system/early.service.d/" + dropIn: "attach %n\n",
		"system/" + unitName:               "\nExecStopPost=/bin/sh /run/nodeseal/rehearse/rehearse.sh stop\n",
		"system/" + endName + ".timer":     "\nOnActiveSec=@SECONDS@s\n",
		"system/" + endName + ".service":   "rehearse.sh end\n",
		bootName:                           "\nConditionPathExists=/var/lib/nodeseal/rehearse/order\n",
		"units":                            "crio.service\nearly.service\n",
		"cut.nft":                          "rules",
	} {
		if !strings.Contains(all[name], want) {
			t.Errorf("%s lacks %q:\n%s", name, want, all[name])
		}
	}
	if !strings.Contains(all["system/"+unitName], "Before=crio.service early.service kubelet.service\n") {
		t.Errorf("a shutdown would end the cut before the units:\n%s", all["system/"+unitName])
	}
	if text := all[bootName]; strings.Contains(text, "early") || !strings.Contains(text, "Before=crio.service kubelet.service ") || !strings.Contains(text, "TimeoutStartSec=60\n") {
		t.Errorf("the boot unit:\n%s", text)
	}
}
