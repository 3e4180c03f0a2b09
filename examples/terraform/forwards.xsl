<?xml version="1.0"?>
<!-- Adds virbr's words to a network: port 8080 of the host is port 80 of guest web1,
     guests get IPv6, and a change of these lines takes effect at once. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output omit-xml-declaration="yes" indent="yes"/>

  <xsl:template match="node()|@*">
    <xsl:copy><xsl:apply-templates select="node()|@*"/></xsl:copy>
  </xsl:template>

  <xsl:template match="/network">
    <xsl:copy>
      <xsl:apply-templates select="@*"/>
      <metadata>
        <virbr:network xmlns:virbr="urn:virbr:network:1" apply="live">
          <virbr:ipv6 advprefix="ula"/>
          <virbr:portForward proto="tcp" guest="web1"><virbr:range start="8080" to="80"/></virbr:portForward>
        </virbr:network>
      </metadata>
      <xsl:apply-templates select="node()"/>
    </xsl:copy>
  </xsl:template>
</xsl:stylesheet>
