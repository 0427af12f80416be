// Package outside has the audit's rules about objects that make a cluster ask for something
// outside of it, by itself and again and again: updates, catalogs, builds, samples. The rules are
// pure. Each says in its comment where the fact comes from: a repository and a path in it.
package outside

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// Objects are the objects of a cluster by Kind.group, those of a kind in the order of their names.
type Objects map[string][]kubeobject.Object

// The kinds that only these rules look at, and those that others look at too.
const (
	updateServices   = "UpdateService.updateservice.operator.openshift.io"
	clusterVersions  = "ClusterVersion.config.openshift.io"
	subscriptions    = "Subscription.operators.coreos.com"
	buildConfigs     = "BuildConfig.build.openshift.io"
	osConfigs        = "MachineOSConfig.machineconfiguration.openshift.io"
	imageConfigs     = "Image.config.openshift.io"
	internalReleases = "InternalReleaseImage.machineconfiguration.openshift.io"
	catalogSources   = "CatalogSource.operators.coreos.com"
	operatorHubs     = "OperatorHub.config.openshift.io"
	imageStreams     = "ImageStream.image.openshift.io"
	samplesConfigs   = "Config.samples.operator.openshift.io"
)

// Kinds are those that only these rules look at.
func Kinds() []string {
	return []string{updateServices, clusterVersions, subscriptions, buildConfigs, osConfigs, imageConfigs, internalReleases}
}

// Check applies the rules.
func Check(o Objects) []rule.Finding {
	return slices.Concat(o.updateServices(), o.channel(), o.subscriptions(), o.builds(), o.samples(), o.layering(), o.internalRelease())
}

// each decodes the objects of a kind one by one. What is not of its shape is left out: the audit
// names it as a problem, or its API server never takes it.
func each[T any](o Objects, kind string, look func(kubeobject.Object, T)) {
	for _, obj := range o[kind] {
		var v T
		if obj.Decode(&v) == nil {
			look(obj, v)
		}
	}
}

// byDigest reports whether a reference asks by digest.
func byDigest(image string) bool {
	_, d := imagelist.Split(image)
	return d != ""
}

// few names the first of names, and how many there are more.
func few(names []string) string {
	const most = 3
	text := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}
