package travel

import (
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// authority is a ConfigMap with the certificates of an authority of the cluster, whose keys are in
// secrets that the audit does not read.
type authority struct {
	namespace, name string
	// early is how much time a healthy cluster never falls below.
	early time.Duration
	why   string
	mend  string
	// expired is how bad it is when the time is over; always says that the day is told in any case.
	expired rule.Severity
	always  bool
}

const (
	day     = 24 * time.Hour
	runbook = "docs/troubleshooting.md, After a long time off"
)

// authorities returns those whose end stops a cluster that was off.
//
// kube-apiserver-to-kubelet-signer is made for a year and anew after 300 days
// (openshift/cluster-kube-apiserver-operator, pkg/operator/certrotationcontroller), and a cluster that is
// off is to be started before it ends (openshift/openshift-docs, modules/graceful-shutdown.adoc).
//
// csr-signer is made for 30 days and anew after 15 (openshift/cluster-kube-controller-manager-operator,
// pkg/operator/certrotationcontroller; csr-signer-ca is its certificates, pkg/operator/targetconfigcontroller).
// It signs what kubelets ask for, and no certificate is good for longer than its signer's.
func authorities() []authority {
	return []authority{
		{
			namespace: "openshift-kube-apiserver-operator", name: "kube-apiserver-to-kubelet-client-ca", early: 60 * day, expired: rule.Breaks,
			why: "OpenShift ensures the restart of a cluster that is off only until that day. After it kubelets do not take the API server's certificate: " +
				"`oc logs`, `oc exec` and `oc debug` fail until the operator has made a new one.",
			mend: "Let the cluster run, with its operators healthy, until the certificate is made anew before it is shut down (" + runbook + ").",
		},
		{
			namespace: "openshift-kube-controller-manager-operator", name: "csr-signer-ca", early: 14 * day, expired: rule.Warning, always: true,
			why: "Kubelets that are off until then ask for new certificates at their next start, and a person must approve them: until then nodes are NotReady, " +
				"and no pod of theirs is started anew.",
			mend: "Start the cluster before that day, or give the site a kubeconfig that may approve: `oc get csr`, then `oc adm certificate approve NAME` (" + runbook + ").",
		},
	}
}

func (a authority) is(o kubeobject.Object) bool {
	return o.Metadata.Namespace == a.namespace && o.Metadata.Name == a.name
}

// certificates finds authorities that end soon.
func (c Cluster) certificates() (out []rule.Finding) {
	for _, a := range authorities() {
		for _, o := range c.Objects["ConfigMap"] {
			if !a.is(o) {
				continue
			}
			if f, ok := c.ends(a, o); ok {
				out = append(out, f)
			}
		}
	}
	return out
}

// ends says when the certificates of a end, if that is to be told.
func (c Cluster) ends(a authority, o kubeobject.Object) (rule.Finding, bool) {
	end := lastEnd(o)
	if end.IsZero() {
		return rule.Finding{}, false
	}
	const date = "2006-01-02 15:04 MST"
	f := rule.Finding{
		Rule: "certificates-expire", Severity: rule.Note, Object: o.String(),
		What: "The last certificate of " + a.name + " ends on " + end.UTC().Format(date) + ".", Why: a.why, Mend: a.mend,
	}
	switch left := end.Sub(c.Now); {
	case c.Now.IsZero():
		return f, true
	case left <= 0:
		f.Severity = a.expired
		f.What += " It had ended when the cluster was read, " + c.Now.UTC().Format(date) + "."
	case left < a.early:
		f.Severity = rule.Warning
		f.What += " That is less than a cluster has whose certificates are made anew in time, or that is older than a day."
	default:
		return f, a.always
	}
	return f, true
}

// maxCertificates bounds how many certificates of a ConfigMap are read.
const maxCertificates = 100

// lastEnd is when the last certificate of the ConfigMap ends, the zero time if it has none.
func lastEnd(o kubeobject.Object) (last time.Time) {
	var v struct {
		Data map[string]string `json:"data"`
	}
	if o.Decode(&v) != nil {
		return last
	}
	rest := []byte(v.Data["ca-bundle.crt"])
	for range maxCertificates {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.NotAfter.After(last) {
			last = cert.NotAfter
		}
	}
	return last
}
